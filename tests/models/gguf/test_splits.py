"""Every split that is read, against llama.cpp's ids, and against the published patterns where those are others."""

# ruff: noqa: SIM905  (lists of names read best as they are)
import json
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
import regex
from tokenizers import Tokenizer

from mlx_spec.errors import UnsupportedModelError
from mlx_spec.models.gguf.header import read_header
from mlx_spec.models.gguf.splits import CASED_LETTERS, SPLITS
from mlx_spec.models.gguf.tokenizer import build_tokenizer
from tests.models.gguf.record_split_ids import MERGING, RECORD, split_gguf, texts
from tests.models.gguf.tiny import TinyGGUF, byte_alphabet
from tests.models.text.sentences import one_sentence

RECORDED: Final[dict[str, Any]] = json.loads(RECORD.read_text("ascii"))
CASES: Final[list[dict[str, Any]]] = RECORDED["cases"]
NAMES: Final[list[str]] = RECORDED["names"]
# The names of the issue, each of which was refused.
EXISTING_SPLITS: Final = (
    "falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano mpt olmo jais gigachat a.x-4.0 mellum exaone4 trillion"
    " granite-docling modern-bert roberta-bpe jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code starcoder"
    " refact command-r codeshell exaone minerva-7b mellum2 kormo f2llmv2 stablelm2 megrez hunyuan grok-2 solar-open"
    " llama4 kanana2 talkie minimax-m2 chatglm-bpe glm4 glm5"
).split()
NEW_SPLITS: Final = (
    "deepseek-llm deepseek-coder deepseek-v3 qwen35 gemma4 kimi-k2 seed-coder hunyuan-dense falcon".split()
)

END: Final = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
UPPER, LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
BREAKS: Final = r"\s*[\r\n]+|\s+(?!\S)|\s+"
EAST: Final = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
MARKS: Final = "[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]"
# The list itself is checked by llama.cpp's ids.
LISTED: Final = "[{}]".format(
    "".join("-".join(chr(int(point, 16)) for point in item.split("-")) for item in CASED_LETTERS.split())
)
GPT2: Final = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def cased(end: str, digits: str, after: str, han: str = "") -> str:
    """The pattern of o200k and its kin, as their authors publish it."""
    upper, lower, before = f"[[{UPPER}]{han}]", f"[[{LOWER}]{han}]", r"[^\r\n\p{L}\p{N}]?"
    return (
        rf"{before}{upper}*{lower}+{end}|{before}{upper}+{lower}*{end}|{digits}"
        rf"| ?[^\s\p{{L}}\p{{N}}]+{after}|{BREAKS}"
    )


# Where llama.cpp's patterns are not those of the models' own tokenizers: these, for another engine of patterns.
PUBLISHED: Final[dict[str, list[str]]] = {
    "tekken": [cased("", r"\p{N}", r"[\r\n/]*")],
    "gpt-4o": [cased(f"{END}?", r"\p{N}{1,3}", r"[\r\n/]*")],
    "kimi-k2": [r"\p{Han}+|" + cased(f"{END}?", r"\p{N}{1,3}", r"[\r\n]*", r"--\p{Han}")],
    "deepseek-llm": [r"[\r\n]", rf"\s?{LISTED}+", rf"\s?{MARKS}+", r"\s+$", EAST, r"\p{N}"],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", EAST, r"\p{N}"],
    "falcon": [r"(?:\p{P}|[$+<=>^`|~])+", GPT2],
}


def named_bytes(text: str) -> set[int]:
    return set(text.encode())


def has_marks(text: str) -> bool:
    return any(unicodedata.category(letter).startswith("M") for letter in text)


def has_marks_or_capitals(text: str) -> bool:
    return has_marks(text) or any(unicodedata.category(letter) in ("Lu", "Lt") for letter in text if letter > "\x7f")


def has_wide_space(text: str) -> bool:
    return any(letter.isspace() and letter > "\x7f" for letter in text)


def has_numbers(text: str) -> bool:
    return any(unicodedata.category(letter).startswith("N") for letter in text)


def is_composed_anew(text: str) -> bool:
    return unicodedata.normalize("NFC", text) != text


# What llama.cpp makes otherwise, and why:
EXCUSES: Final[dict[str, Callable[[str], bool]]] = {
    # It leaves out NFC.
    **dict.fromkeys(("qwen2", "qwen35", "mpt", "olmo", "command-r"), is_composed_anew),
    # It lets no mark belong to a word, and takes capitals other than A to Z for small letters too.
    **dict.fromkeys(("tekken", "gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"), has_marks_or_capitals),
    # There it does not end words before a capital either.
    "kimi-k2": lambda text: has_marks_or_capitals(text) or bool(regex.search(r"\p{L}\p{Lu}", text)),
    # It sees other white space than ASCII's as one character that no list of characters has; DeepSeek's first
    # tokenizer also cuts every digit off.
    "deepseek-coder": has_wide_space,
    "deepseek-llm": lambda text: has_wide_space(text) or has_numbers(text),
    # Its tokenizer looks for digits among the letters that bytes are written as, and cuts them from a space.
    "falcon": lambda text: has_numbers(text) or not named_bytes(text).isdisjoint(b"\xb2\xb3\xb9\xbc\xbd\xbe"),
}


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Tokenizer]:
    folder = tmp_path_factory.mktemp("splits")
    return lambda name: build_tokenizer(read_header(split_gguf(name).write(folder / "x.gguf")))


def cut(text: str, patterns: list[str]) -> list[str]:
    """What each pattern finds, and what lies between, cut again by the next."""
    pieces = [text]
    for pattern in patterns:
        pieces = [piece for whole in pieces for piece in _found_and_between(whole, pattern)]
    return pieces


def _found_and_between(text: str, pattern: str) -> Iterator[str]:
    end = 0
    for match in regex.finditer(f"(?V1){pattern}", text):
        yield from (piece for piece in (text[end : match.start()], match.group()) if piece)
        end = match.end()
    if end < len(text):
        yield text[end:]


def as_letters(pieces: list[str]) -> list[str]:
    letters = byte_alphabet()
    return ["".join(letters[byte] for byte in piece.encode()) for piece in pieces]


def test_all_names_are_recorded_on_more_than_five_hundred_strings() -> None:
    assert sorted([*SPLITS, MERGING]) == NAMES
    assert [case["text"] for case in CASES] == texts()
    assert len(CASES) > 500
    assert "llama.cpp" in RECORDED["tool"]
    assert (len(EXISTING_SPLITS), len(NEW_SPLITS)) == (44, 9)
    assert {*EXISTING_SPLITS, *NEW_SPLITS} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_llama_cpps_but_where_its_split_is_not_the_models_own(
    name: str, tokenizers: Callable[[str], Tokenizer]
) -> None:
    tokenizer, column = tokenizers(name), NAMES.index(name)
    excused = EXCUSES.get(name, lambda text: False)
    encoded = tokenizer.encode_batch([case["text"] for case in CASES], add_special_tokens=False)
    for case, found in zip(CASES, encoded, strict=True):
        assert found.ids == case["ids"][case["which"][column]] or excused(case["text"]), case["text"]


@pytest.mark.parametrize("name", [name for name, excuse in EXCUSES.items() if excuse is is_composed_anew])
def test_the_models_that_compose_characters_do_so_before_all_else(
    name: str, tokenizers: Callable[[str], Tokenizer]
) -> None:
    tokenizer = tokenizers(name)
    for text in filter(is_composed_anew, texts()):
        composed = unicodedata.normalize("NFC", text)
        assert tokenizer.encode(text).ids == tokenizer.encode(composed).ids


@pytest.mark.parametrize("name", PUBLISHED)
def test_pieces_are_those_of_the_published_patterns(name: str) -> None:
    splitter = SPLITS[name].build()
    for text in texts():
        if "\u2e49" in text:  # punctuation since Unicode 9, which `tokenizers` does not know yet
            continue
        pieces = as_letters(cut(text, PUBLISHED[name]))
        if name == "falcon":
            pieces = [last for piece in pieces for last in cut(piece, [r"\p{N}+", "[0-9][0-9][0-9]"])]
        assert [piece for piece, _ in splitter.pre_tokenize_str(text)] == pieces


def test_deepseeks_first_tokenizer_cuts_as_its_list_of_letters_has_it() -> None:
    splitter = SPLITS["deepseek-llm"].build()

    def pieces(text: str) -> list[str]:
        return [text[start:end] for _, (start, end) in splitter.pre_tokenize_str(text)]

    assert pieces("Hello, world Привет") == ["Hello", ",", " world", " Привет"]
    # "[:-~]" among the marks, meant for punctuation, holds the letters of ASCII too: other letters are cut from them.
    assert pieces("Straße") == ["Stra", "ß", "e"]
    assert pieces("in 2026\n\n") == ["in", " ", "2", "0", "2", "6", "\n", "\n"]
    assert pieces("你好，世界。ok") == ["你好", "，", "世界", "。", "ok"]
    # Letters without capitals are in no list, but for those below U+4E00 from U+0800 on.
    assert pieces("שלום नमस्ते 한국어") == ["שלום ", "नमस्ते", " ", "한국어"]
    # White space there is in that range too, which llama.cpp does not see.
    assert pieces("a\u2029 b") == ["a", "\u2029", " b"]


@pytest.mark.parametrize("name", ["viking", "poro-chat", "superbpe", "chameleon", "default", "bloom", ""])
def test_a_split_that_is_not_read_is_refused_by_name(name: str, gguf: TinyGGUF, tmp_path: Any) -> None:
    gguf.metadata["tokenizer.ggml.pre"] = name
    with pytest.raises(UnsupportedModelError) as caught:
        build_tokenizer(read_header(gguf.write(tmp_path / "x.gguf")))
    assert (f"'{name}'" if name else "does not name") in one_sentence(caught.value)
