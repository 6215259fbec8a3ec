"""Byte-level BPE of a GGUF file: the tokenizers of GPT-2, Llama 3, Qwen, Mistral's Tekken and Phi-4."""

from collections.abc import Callable
from typing import Final

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE

from mlx_spec.errors import CorruptModelError, UnsupportedModelError
from mlx_spec.models.gguf_header import GGUFHeader

_CONTRACTIONS: Final = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER: Final = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER: Final = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_BEFORE: Final = r"[^\r\n\p{L}\p{N}]?"


def _after_digits(mark: str = "") -> str:
    return rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n{mark}]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _byte_level() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _digits_then_byte_level() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _byte_level()])


def _by(pattern: str) -> Callable[[], pre_tokenizers.PreTokenizer]:
    def build() -> pre_tokenizers.PreTokenizer:
        return pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )

    return build


def _words(digits: str) -> Callable[[], pre_tokenizers.PreTokenizer]:
    return _by(rf"{_CONTRACTIONS}|{_BEFORE}\p{{L}}+|{digits}{_after_digits()}")


def _cased_words(digits: str, end: str = "") -> Callable[[], pre_tokenizers.PreTokenizer]:
    """Words end where a capital follows a small letter; `end` is what else belongs to a word."""
    lower, upper = rf"{_BEFORE}{_UPPER}*{_LOWER}+{end}", rf"{_BEFORE}{_UPPER}+{_LOWER}*{end}"
    return _by(f"{lower}|{upper}|{digits}{_after_digits('/')}")


# Each was compared with llama.cpp on the 715 strings of tests/models/record_tokenizer_ids.py, with SmolLM2's vocabulary
# and that split: all ids are equal, but for Qwen2's NFC step, which llama.cpp leaves out.
_SPLITS: Final[dict[str, Callable[[], pre_tokenizers.PreTokenizer]]] = {
    "smollm": _digits_then_byte_level,
    "gpt-2": _byte_level,
    "llama-bpe": _words(r"\p{N}{1,3}"),
    "dbrx": _words(r"\p{N}{1,3}"),
    "qwen2": _words(r"\p{N}"),
    "deepseek-r1-qwen": _words(r"\p{N}"),
    "tekken": _cased_words(r"\p{N}"),
    "gpt-4o": _cased_words(r"\p{N}{1,3}", f"{_CONTRACTIONS}?"),
}
_ALIASES: Final = {"llama3": "llama-bpe", "llama-v3": "llama-bpe", "smaug-bpe": "dbrx", "phi-2": "gpt-2"}
# These take a piece that is a token as a whole, whatever its merges are.
_IGNORE_MERGES: Final = frozenset({"llama-bpe", "tekken"})
# llama.cpp puts a bos token in front for these where the file does not say.
_BOS_UNASKED: Final = frozenset({"llama-bpe", "tekken"})


def split_name(header: GGUFHeader) -> str:
    """The split that the file names, under its usual name."""
    name = header.text("tokenizer.ggml.pre", "")
    return _ALIASES.get(name, name)


def wants_bos(header: GGUFHeader) -> bool:
    """Whether a prompt begins with bos where the file does not say."""
    return split_name(header) in _BOS_UNASKED


def byte_level_tokenizer(header: GGUFHeader, tokens: list[str]) -> Tokenizer:
    """Return the tokenizer without its special tokens. Raises UnsupportedModelError, CorruptModelError."""
    split = split_name(header)
    if split not in _SPLITS:
        known = ", ".join(_SPLITS)
        name = split or "no pre-tokenizer"
        raise UnsupportedModelError(f"{header.path} splits words in the way '{name}', and only {known} are known.")
    tokenizer = Tokenizer(_merge_model(header, tokens, ignore_merges=split in _IGNORE_MERGES))
    if split == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = _SPLITS[split]()
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _merge_model(header: GGUFHeader, tokens: list[str], *, ignore_merges: bool) -> BPE:
    vocabulary = {token: index for index, token in enumerate(tokens)}
    halves = [merge.partition(" ") for merge in header.texts("tokenizer.ggml.merges")]
    merges = [(left, right) for left, _, right in halves]
    if len(vocabulary) != len(tokens) or not all(left and right for left, right in merges):
        raise CorruptModelError(f"{header.path} has a damaged tokenizer: tokens appear twice or merges are not pairs.")
    try:
        return BPE(vocab=vocabulary, merges=merges, ignore_merges=ignore_merges)
    except Exception as error:  # `tokenizers` raises bare Exception
        raise CorruptModelError(f"{header.path} has a damaged tokenizer ({error}).") from error
