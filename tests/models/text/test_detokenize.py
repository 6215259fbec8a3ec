"""Tokens to text, never half a character."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_lm.tokenizer_utils import TokenizerWrapper
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from mlx_spec.models.text.detokenize import TokenText
from tests.tiny import byte_tokenizer
from tests.two_tokenizers import byte_level, llama_like, unigram_like

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


def llama3_like() -> TokenizerWrapper:
    """A byte-level vocabulary in which a token may hold a space and the beginning of a character, as Llama 3.1's."""
    backend = Tokenizer(BPE(vocab_of_bytes() | {"Hello": 256, "Ġð": 257, "ĠðŁ": 258}, []))
    backend.decoder = decoders.ByteLevel()
    return TokenizerWrapper(PreTrainedTokenizerFast(tokenizer_object=backend))


def vocab_of_bytes() -> dict[str, int]:
    return {symbol: i for i, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}


def test_an_answer_cut_inside_a_character_keeps_what_is_whole() -> None:
    token_text = TokenText(llama3_like())
    assert token_text.push(256) + token_text.push(258) + token_text.finish() == "Hello \ufffd"
    begun = TokenText(llama3_like())
    rest = [vocab_of_bytes()[symbol] for symbol in "ŁĻĤ"]
    assert begun.push(257) + "".join(begun.push(token_id) for token_id in rest) == " 🙂"


def test_a_cut_inside_a_byte_run_keeps_the_characters_before_it() -> None:
    token_text = TokenText(byte_fallback_tokenizer())
    run = [1 + byte for byte in "b\n你好".encode()][:-1]
    assert "".join(map(token_text.push, run)) + token_text.finish() == "b\n你\ufffd"


@pytest.mark.parametrize("tokenizer", [llama_like(), unigram_like()], ids=["merges", "pieces"])
def test_an_answer_that_goes_on_a_text_keeps_the_space_it_begins_with(tokenizer: TokenizerWrapper) -> None:
    ids = tokenizer.encode("the river", add_special_tokens=False)
    at = next(i for i, token in enumerate(tokenizer.convert_ids_to_tokens(ids)) if i and token.startswith("▁"))
    going_on, begun = TokenText(tokenizer), TokenText(tokenizer)
    going_on.go_on_from([1, *ids[:at]])
    assert "".join(map(going_on.push, ids[at:])) + going_on.finish() == " river"
    assert "".join(map(begun.push, ids[at:])) + begun.finish() == "river", "an answer of its own begins without"
    behind_special = TokenText(tokenizer)
    behind_special.go_on_from([1])
    assert "".join(map(behind_special.push, ids[at:])) == " river"
    assert tokenizer.convert_ids_to_tokens(ids[at]).replace("▁", " ") == begun.peek(ids[at]), "as a draft shows it"


def test_a_space_behind_broken_bytes_is_kept() -> None:
    tokenizer = byte_fallback_tokenizer()
    space = tokenizer.convert_tokens_to_ids("▁")
    token_text = TokenText(tokenizer)
    ids = [1 + 0x0A, 1 + 0xF0, space, 258]
    assert "".join(map(token_text.push, ids)) + token_text.finish() == "\n\ufffd a"


def test_a_prompt_that_ends_inside_a_character_gets_its_end() -> None:
    token_text = TokenText(TOKENIZER)
    ids = TOKENIZER.encode("a🙂b")
    token_text.go_on_from(ids[:3])
    assert "".join(map(token_text.push, ids[3:])) == "🙂b"


@pytest.mark.parametrize("tokenizer", [llama_like(), unigram_like(), byte_level()], ids=["merges", "pieces", "bytes"])
@settings(max_examples=100)
@given(st.text(alphabet="ab theriv\n é你🙂", max_size=30), st.integers(0, 30))
def test_a_text_and_what_goes_on_it_are_the_whole_text(tokenizer: TokenizerWrapper, text: str, at: int) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    first, second = TokenText(tokenizer), TokenText(tokenizer)
    begun = "".join(map(first.push, ids[:at]))
    second.go_on_from(ids[:at])
    whole = begun + "".join(map(second.push, ids[at:])) + second.finish()
    if 0 < at < len(ids):
        assert whole == tokenizer.decode(ids, clean_up_tokenization_spaces=False)
