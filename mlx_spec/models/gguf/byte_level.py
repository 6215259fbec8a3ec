"""Byte-level BPE of a GGUF file: the tokenizers of GPT-2, Llama 3, Qwen, Mistral's Tekken, DeepSeek and others."""

from tokenizers import Tokenizer, decoders, normalizers
from tokenizers.models import BPE

from mlx_spec.errors import CorruptModelError, UnsupportedModelError
from mlx_spec.models.gguf.header import GGUFHeader
from mlx_spec.models.gguf.splits import SPLITS, Split


def split_of(header: GGUFHeader) -> Split:
    """How the file cuts words. Raises UnsupportedModelError where that is not known."""
    name = header.text("tokenizer.ggml.pre", "")
    if name not in SPLITS:
        how = f"in the way '{name}', which is not known" if name else "in a way that it does not name"
        raise UnsupportedModelError(
            f"{header.path} splits words {how}: use a newer file of the model, or its folder in mlx-lm's layout."
        )
    return SPLITS[name]


def byte_level_tokenizer(header: GGUFHeader, vocabulary: dict[str, int]) -> Tokenizer:
    """Return the tokenizer without its special tokens. Raises UnsupportedModelError, CorruptModelError."""
    split = split_of(header)
    merges = listed_merges(header)
    try:
        tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=merges, ignore_merges=split.whole_words))
    except Exception as error:  # `tokenizers` raises bare Exception
        raise CorruptModelError(f"{header.path} has a damaged tokenizer ({error}).") from error
    if split.composed:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = split.build()
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def listed_merges(header: GGUFHeader) -> list[tuple[str, str]]:
    """The merges that the file lists, the first the strongest. Raises CorruptModelError where one is no pair."""
    halves = [merge.partition(" ") for merge in header.texts("tokenizer.ggml.merges")]
    if not all(left and right for left, _, right in halves):
        raise CorruptModelError(f"{header.path} has a damaged tokenizer: its merges are not pairs.")
    return [(left, right) for left, _, right in halves]
