"""Two vocabularies side by side: tokens are the same when their bytes are, and no byte is lost between them."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.utils import load_tokenizer

from mlx_spec.machine.resources import resources_folder
from mlx_spec.models.text.token_map import TokenMap, shared_part, shared_tokens
from mlx_spec.models.text.vocabulary import Vocabulary, token_bytes, vocabulary_of
from tests.two_tokenizers import byte_level, llama_like, unigram_like

KINDS = {"byte-level": byte_level, "llama": llama_like, "unigram": unigram_like}
TEXTS = [
    "Hello",
    " the words are 🙂 naïve\n  x",
    "\n\n",
    "",
    "東京 \x04\x00",
    "<|im_end|></s> as text",
    "  two  spaces ",
]


def map_of(target: TokenizerWrapper, draft: TokenizerWrapper) -> TokenMap:
    return TokenMap(target, draft, len(target.get_vocab()), len(draft.get_vocab()))


@pytest.fixture(scope="module")
def smollm2() -> TokenizerWrapper:
    return load_tokenizer(Path(resources_folder()) / "starter")


@pytest.mark.parametrize(
    ("token", "kind", "expected"),
    [
        ("Ġthe", "byte-level", b" the"),
        ("Ċ", "byte-level", b"\n"),
        ("ðŁ", "byte-level", b"\xf0\x9f"),
        ("a b", "byte-level", b"a b"),  # an added token: not in the byte alphabet, so it is meant literally
        ("▁the", "sentencepiece", b" the"),
        ("▁▁", "sentencepiece", b"  "),
        ("<0xF0>", "sentencepiece", b"\xf0"),
        ("é", "sentencepiece", "é".encode()),
        ("Ġthe", "plain", "Ġthe".encode()),
    ],
)
def test_a_tokens_bytes(token: str, kind: str, expected: bytes) -> None:
    assert token_bytes(token, kind) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("name", KINDS)
def test_the_kind_is_told_by_the_tokenizer(name: str) -> None:
    vocabulary = vocabulary_of(KINDS[name](), name, 1000)
    assert vocabulary.kind == ("byte-level" if name == "byte-level" else "sentencepiece")
    assert vocabulary.bos_id == (1 if name == "llama" else None)
    assert vocabulary.eos_id in vocabulary.special_ids


@pytest.mark.parametrize(("target", "draft"), [*itertools.product(KINDS, KINDS)])
def test_shared_tokens_spell_the_same_bytes(target: str, draft: str) -> None:
    one, other = (vocabulary_of(KINDS[name](), name, 1000) for name in (target, draft))
    pairs = shared_tokens(one, other)
    mine, theirs = one.spelled(), other.spelled()
    assert len(set(pairs.values())) == len(pairs)
    assert {mine.get(a) == theirs.get(b) for a, b in pairs.items()} == {True}
    assert pairs[one.eos_id] == other.eos_id
    assert {mine[a] for a in pairs if a in mine} == set(mine.values()) & set(theirs.values())
    assert shared_part(one, other) == (1.0 if target == draft else pytest.approx(len(pairs) / len(one.ids)))


@pytest.mark.parametrize(("target", "draft"), [*itertools.product(KINDS, KINDS)])
def test_no_byte_is_lost_between_them(target: str, draft: str) -> None:
    tokens = map_of(KINDS[target](), KINDS[draft]())
    for text in TEXTS:
        raw = text.encode()
        token_ids = tokens.target.spell(raw)
        assert tokens.target.text_of(token_ids) == raw
        assert tokens.draft.text_of(tokens.retokenized(token_ids)) == raw
        assert tokens.draft.text_of(tokens.translated(token_ids)) == raw


@given(text=st.text(alphabet="the dog\nwi🙂éπ.", max_size=30), data=st.data())
def test_text_cut_anywhere_is_still_spelled(text: str, data: st.DataObject) -> None:
    raw = text.encode()
    cut = data.draw(st.integers(0, len(raw)))
    for target, draft in itertools.product(KINDS.values(), KINDS.values()):
        tokens = _cached_map(target(), draft())
        for part in (raw[:cut], raw[cut:]):
            token_ids = tokens.target.spell(part)
            assert tokens.target.text_of(token_ids) == part
            assert tokens.draft.text_of(tokens.translated(token_ids)) == part


_MAPS: dict[tuple[int, int], TokenMap] = {}


def _cached_map(target: TokenizerWrapper, draft: TokenizerWrapper) -> TokenMap:
    key = id(target), id(draft)
    if key not in _MAPS:
        _MAPS[key] = map_of(target, draft)
    return _MAPS[key]


def test_the_drafts_own_tokenizer_writes_prompts() -> None:
    """Without sentencepiece's space in front, which a text in the middle does not have."""
    tokens = map_of(byte_level(), llama_like())
    spelled = tokens.retokenized(byte_level().encode(" the words"))
    assert spelled == llama_like().encode("the words", add_special_tokens=False)
    assert llama_like().convert_ids_to_tokens(tokens.draft.spell(b"the words"))[0] != "▁the"


def test_half_characters_of_two_tokens_become_one() -> None:
    tokens = map_of(byte_level(), llama_like())
    # "π" is two byte-level tokens, neither of which is text, and one token of the other vocabulary.
    ids = byte_level().encode("π")
    assert len(ids) == 2
    assert tokens.retokenized(ids) == [llama_like().get_vocab()["π"]]
    assert tokens.draft.text_of(tokens.translated(ids[:1]) + tokens.translated(ids[1:])) == "π".encode()


def test_special_tokens_go_by_what_they_do() -> None:
    tokens = map_of(llama_like(), byte_level())
    assert tokens.translated([1]) == []  # the beginning of a text, which the other tokenizer does not write
    assert tokens.translated([2]) == [byte_level().eos_token_id]
    assert tokens.target_id(byte_level().eos_token_id) == 2
    back = map_of(byte_level(), llama_like())
    begin = byte_level().get_vocab()["<|im_start|>"]
    assert back.draft.text_of(back.translated([begin])) == b"<|im_start|>"
    assert back.draft_begin == [1]


def test_the_starters_real_tokenizer(smollm2: TokenizerWrapper) -> None:
    assert map_of(smollm2, smollm2).shared == 1.0
    tokens = map_of(smollm2, llama_like())
    assert 0.004 < tokens.shared < 0.01  # of 49,152 tokens
    for text in TEXTS:
        raw = text.encode()
        token_ids = tokens.target.spell(raw)
        spelled = bytes(byte for byte in raw if bytes([byte]) in set(tokens.target.bytes_of.values()))
        assert tokens.target.text_of(token_ids) == spelled  # SmolLM2 lacks a few control characters
        assert tokens.draft.text_of(tokens.translated(token_ids)) == spelled
    words = smollm2.encode("The quick brown fox")
    assert tokens.target.spell(b"The quick brown fox") == words


def test_ids_beyond_the_logits_are_not_shared() -> None:
    ids = {"a": 0, "b": 1, "c": 2}
    assert shared_tokens(Vocabulary("target", ids, 3), Vocabulary("draft", ids, 2)) == {0: 0, 1: 1}
    assert shared_tokens(Vocabulary("target", ids, 2), Vocabulary("draft", ids, 3)) == {0: 0, 1: 1}
