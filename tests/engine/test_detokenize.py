"""Tokens to text, never half a character."""

from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_lm.tokenizer_utils import TokenizerWrapper
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

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


def byte_fallback_tokenizer() -> TokenizerWrapper:
    """As sentencepiece models have it: characters where known, else a token for each byte."""
    names = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", "a", "b", "c"]
    backend = Tokenizer(BPE({name: i for i, name in enumerate(names)}, [], byte_fallback=True, unk_token="<unk>"))
    backend.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return TokenizerWrapper(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>"))


@settings(max_examples=300)
@given(st.lists(st.sampled_from([1 + 0xF0, 1 + 0x9F, 1 + 0x99, 1 + 0x82, 1 + 0x0A, 1 + 0xE2, 258, 259]), max_size=12))
def test_broken_byte_runs_never_raise(token_ids: list[int]) -> None:
    token_text = TokenText(byte_fallback_tokenizer())
    text = "".join(token_text.push(token_id) for token_id in token_ids) + token_text.finish()
    assert text.count("a") == token_ids.count(258)
    assert text.count("b") == token_ids.count(259)


def test_byte_runs_that_are_characters_join() -> None:
    token_text = TokenText(byte_fallback_tokenizer())
    emoji = [1 + byte for byte in "🙂".encode()]
    pieces = [token_text.push(token_id) for token_id in [258, *emoji, 259]]
    assert "".join(pieces) + token_text.finish() == "a🙂b"
    assert [token_text.push(token_id) for token_id in emoji[:2]] == ["", ""]
    assert token_text.finish() == "\ufffd"
