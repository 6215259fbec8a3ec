"""How byte-level tokenizers cut a text into words before they merge, by the name that a GGUF file gives it.

Names are llama.cpp's (src/llama-vocab.cpp, release v0.5.0). The patterns are those of the models' own tokenizers, from
which llama.cpp's differ here and there: docs/models.md says where.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tokenizers import Regex
from tokenizers.pre_tokenizers import ByteLevel, Digits, PreTokenizer, Punctuation, Sequence
from tokenizers.pre_tokenizers import Split as Cut


@dataclass(frozen=True, slots=True)
class Split:
    """One way to cut words: `build` makes the pre-tokenizer, and the rest is what the models that use it do besides.

    `composed`: characters are composed first (NFC). `whole_words`: a word that is a token is taken as it is, whatever
    its merges are. `begins`: a prompt begins with bos where the file does not say.
    """

    build: Callable[[], PreTokenizer]
    composed: bool = False
    whole_words: bool = False
    begins: bool = False


_CONTRACTIONS: Final = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER: Final = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}"
_LOWER: Final = r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_BEFORE: Final = r"[^\r\n\p{L}\p{N}]?"
_BREAKS: Final = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_ONE: Final = r"\p{N}"
_THREE: Final = r"\p{N}{1,3}"
# DeepSeek's first tokenizer names the letters of the scripts that have capitals, by code point.
CASED_LETTERS: Final = (
    "41-5A 61-7A B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376 377 37B-37D 37F 386 388-38A 38C "
    "38E-3A1 3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF 1D00-1D2B "
    "1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D 1F5F-1F7D 1F80-1FB4 "
    "1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 "
    "2115 2119-211D 2124 2126 2128 212A-212D 212F-2134 2139 213C-213F 2145-2149 214E 2183 2184 2C00-2C7B "
    "2C7E-2CE4 2CEB-2CEE 2CF2 2CF3 A640-A66D A680-A69B A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 "
    "FB13-FB17 FF21-FF3A FF41-FF5A 10400-1044F 104B0-104D3 104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF "
    "1E900-1E943"
)
_DEEPSEEK_MARKS: Final = "21-2F 3A-7E FF01-FF0F FF1A-FF5E 2018-201F 3000-3002"
_DEEPSEEK_EAST: Final = "4E00-9FA5 800-4E00 AC00-D7FF"
_CHINESE_AND_KANA: Final = "4E00-9FA5 3040-309F 30A0-30FF"
_ASCII_MARK: Final = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"


def _class(listed: str) -> str:
    """A character class of hexadecimal code points and ranges of them."""
    ranges = ("-".join(rf"\x{{{point}}}" for point in item.split("-")) for item in listed.split())
    return f"[{''.join(ranges)}]"


def _steps(*build: Callable[[], PreTokenizer]) -> Callable[[], PreTokenizer]:
    """Each step cuts what the one before it left whole."""
    return lambda: Sequence([step() for step in build])


def _as_letters(*, by_words: bool = False) -> Callable[[], PreTokenizer]:
    """Bytes become printable letters; `by_words` cuts as GPT-2 does."""
    return lambda: ByteLevel(add_prefix_space=False, use_regex=by_words)


def _found(pattern: str) -> Callable[[], PreTokenizer]:
    """What the pattern finds is a word, and so is what lies between."""
    return lambda: Cut(Regex(pattern), behavior="isolated")


def _by(*patterns: str) -> Callable[[], PreTokenizer]:
    return _steps(*map(_found, patterns), _as_letters())


def _words(digits: str, *, letters: str = r"\p{L}", after: str = r"[\r\n]*") -> Callable[[], PreTokenizer]:
    """Words, digits and punctuation; `after` is what ends a run of punctuation."""
    marks = rf" ?[^\s{letters}\p{{N}}]+{after}"
    return _by(rf"{_CONTRACTIONS}|{_BEFORE}[{letters}]+|{digits}|{marks}|{_BREAKS}")


def _cased_words(digits: str, *, end: str = "", narrowed: str = "", after: str, first: str = "") -> str:
    """Words end where a capital follows a small letter, and may have an `end`; `narrowed` leaves out letters of theirs,
    which `first` finds."""
    upper, lower = f"[{_UPPER}{narrowed}]", f"[{_LOWER}{narrowed}]"
    words = rf"{_BEFORE}{upper}*{lower}+{end}|{_BEFORE}{upper}+{lower}*{end}"
    return rf"{first}{words}|{digits}| ?[^\s\p{{L}}\p{{N}}]+{after}|{_BREAKS}"


_gpt2: Final = _as_letters(by_words=True)
_digit_by_digit: Final = _steps(lambda: Digits(individual_digits=True), _gpt2)
_gpt4o: Final = _by(_cased_words(_THREE, end=f"{_CONTRACTIONS}?", after=r"[\r\n/]*"))
_tekken: Final = _by(_cased_words(_ONE, after=r"[\r\n/]*"))
_kimi: Final = _by(
    _cased_words(_THREE, end=f"{_CONTRACTIONS}?", narrowed=r"&&[^\p{Han}]", after=r"[\r\n]*", first=r"\p{Han}+|")
)
_falcon: Final = _steps(
    lambda: Punctuation(behavior="contiguous"),
    _gpt2,
    lambda: Digits(individual_digits=False),
    _found("[0-9][0-9][0-9]"),
)
_deepseek_llm: Final = _steps(
    _found(r"[\r\n]"),
    _found(rf"\s?{_class(CASED_LETTERS)}+"),
    _found(rf"\s?{_class(_DEEPSEEK_MARKS)}+"),
    _found(r"\s+$"),
    _found(f"{_class(_DEEPSEEK_EAST)}+"),
    lambda: Digits(individual_digits=True),
    _as_letters(),
)
_deepseek_coder: Final = _steps(
    _found(r"[\r\n]"),
    _found(r"\s?\p{L}+"),
    _found(r"\s?\p{P}+"),
    _found(f"{_class(_DEEPSEEK_EAST)}+"),
    lambda: Digits(individual_digits=True),
    _as_letters(),
)
_deepseek_v3: Final = _by(
    _THREE,
    f"{_class(_CHINESE_AND_KANA)}+",
    rf"{_ASCII_MARK}[A-Za-z]+|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_BREAKS}",
)

_LLAMA3: Final = Split(_words(_THREE), whole_words=True, begins=True)
_GPT2: Final = Split(_gpt2)
_BY_DIGIT: Final = Split(_digit_by_digit)
_QWEN2: Final = Split(_words(_ONE))
_GPT4O: Final = Split(_gpt4o)
_GLM: Final = Split(_words(_THREE), whole_words=True)
_DEEPSEEK_V3: Final = Split(_deepseek_v3)

_NAMED: Final = (
    (_LLAMA3, "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano"),
    (_GLM, "glm4 glm5"),
    (Split(_words(_THREE)), "dbrx smaug-bpe chatglm-bpe"),
    (_GPT2, "gpt-2 phi-2 jais gigachat a.x-4.0 mellum exaone4 trillion granite-docling modern-bert roberta-bpe"),
    (_GPT2, "jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code"),
    (Split(_gpt2, composed=True), "mpt olmo"),
    (_BY_DIGIT, "smollm starcoder refact codeshell exaone minerva-7b mellum2"),
    (Split(_digit_by_digit, composed=True), "command-r"),
    (Split(_words(_ONE), composed=True), "qwen2"),
    (_QWEN2, "deepseek-r1-qwen kormo f2llmv2 stablelm2 megrez hunyuan grok-2 solar-open"),
    (Split(_words(_ONE, letters=r"\p{L}\p{M}"), composed=True), "qwen35"),
    (Split(_words(_ONE, after="")), "seed-coder"),
    (Split(_tekken, whole_words=True, begins=True), "tekken"),
    (_GPT4O, "gpt-4o llama4 kanana2 talkie minimax-m2"),
    (Split(_kimi), "kimi-k2"),
    (Split(_falcon), "falcon"),
    (Split(_deepseek_llm), "deepseek-llm"),
    (Split(_deepseek_coder), "deepseek-coder"),
    (_DEEPSEEK_V3, "deepseek-v3 hunyuan-dense"),
)
SPLITS: Final[dict[str, Split]] = {name: split for split, names in _NAMED for name in names.split()}
"""By the name in `tokenizer.ggml.pre`."""
