"""Tokens to text, never half a character."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mlx_spec.detokenize import TokenText
from tests.tiny import byte_tokenizer

TOKENIZER = byte_tokenizer()


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_pieces_join_to_the_text(text: str) -> None:
    token_text = TokenText(TOKENIZER)
    pieces = [token_text.push(token_id) for token_id in TOKENIZER.encode(text)]
    assert "".join(pieces) + token_text.finish() == text


def test_an_incomplete_character_waits_and_shows_at_the_end() -> None:
    token_text = TokenText(TOKENIZER)
    ids = TOKENIZER.encode("a🙂")
    assert [token_text.push(token_id) for token_id in ids[:3]] == ["a", "", ""]
    assert token_text.finish() == "\ufffd"


def test_broken_bytes_do_not_block_what_follows() -> None:
    token_text = TokenText(TOKENIZER)
    broken = [TOKENIZER.encode("🙂")[0], *TOKENIZER.encode("ok")]
    assert "".join(token_text.push(token_id) for token_id in broken) + token_text.finish() == "\ufffdok"


def test_a_leading_space_is_kept_and_special_tokens_have_no_text() -> None:
    token_text = TokenText(TOKENIZER)
    end = TOKENIZER.convert_tokens_to_ids("<|im_end|>")
    assert "".join(token_text.push(token_id) for token_id in [*TOKENIZER.encode(" a"), end]) == " a"
    assert token_text.peek(end) == "<|im_end|>"
