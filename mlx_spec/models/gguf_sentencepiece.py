"""SentencePiece in a GGUF file: the BPE of Llama 2, Mistral, Gemma and Phi-3, and the unigram models of T5's kind.

Their spaces are `▁`; a character without a token is spelt as its bytes.
"""

from typing import Final

from tokenizers import Regex, Tokenizer, decoders, normalizers
from tokenizers.models import BPE, Unigram

from mlx_spec.errors import CorruptModelError
from mlx_spec.models.gguf_header import GGUFHeader

_NORMAL, _BYTE = 1, 6
_SPACE: Final = "\N{LOWER ONE EIGHTH BLOCK}"


def sentencepiece_tokenizer(header: GGUFHeader, tokens: list[str], kinds: list[int]) -> Tokenizer:
    """Return the tokenizer without its special tokens. Raises CorruptModelError for a damaged vocabulary."""
    scores = header.numbers("tokenizer.ggml.scores")
    if len(scores) != len(tokens) or len(set(tokens)) != len(tokens):
        raise CorruptModelError(f"{header.path} has a damaged tokenizer: tokens appear twice or lack their scores.")
    prefix = header.flag("tokenizer.ggml.add_space_prefix", True)
    unigram = header.text("tokenizer.ggml.model") == "t5"
    build = _unigram if unigram else _bpe
    try:
        tokenizer = build(header, tokens, scores, kinds)
        tokenizer.normalizer = normalizers.Sequence(_normalizers(header, prefix, unigram))
    except CorruptModelError:
        raise
    except Exception as error:  # `tokenizers` raises bare Exception
        raise CorruptModelError(f"{header.path} has a damaged tokenizer ({error}).") from error
    steps = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if prefix else steps)
    return tokenizer


def _normalizers(header: GGUFHeader, prefix: bool, unigram: bool) -> list[normalizers.Normalizer]:
    steps: list[normalizers.Normalizer] = []
    if unigram and "tokenizer.ggml.precompiled_charsmap" in header.metadata:
        charsmap = bytes(value & 255 for value in header.integers("tokenizer.ggml.precompiled_charsmap"))
        steps += [normalizers.Precompiled(charsmap)] if charsmap else []
    if unigram and header.flag("tokenizer.ggml.remove_extra_whitespaces", False):
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    if prefix:
        steps.append(normalizers.Prepend(_SPACE))
    return [*steps, normalizers.Replace(" ", _SPACE)]


def _unknown_id(header: GGUFHeader, tokens: list[str]) -> int:
    index = header.integer("tokenizer.ggml.unknown_token_id", 0)
    if not 0 <= index < len(tokens):
        raise CorruptModelError(f"{header.path} names {index} as its unknown token, but has {len(tokens)} tokens.")
    return index


def _bpe(header: GGUFHeader, tokens: list[str], scores: list[float], kinds: list[int]) -> Tokenizer:
    vocabulary = {token: index for index, token in enumerate(tokens)}
    merges = _merges(tokens, scores, kinds)
    unknown = tokens[_unknown_id(header, tokens)]
    fallback = _BYTE in kinds
    return Tokenizer(BPE(vocab=vocabulary, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=fallback))


def _merges(tokens: list[str], scores: list[float], kinds: list[int]) -> list[tuple[str, str]]:
    """Every way to make a token of two others, in the order in which SentencePiece prefers their results."""
    normal = {token for token, kind in zip(tokens, kinds, strict=True) if kind == _NORMAL}
    found = []
    for index, token in enumerate(tokens):
        if token not in normal:
            continue
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in normal and right in normal:
                found.append((-scores[index], index, left, right))
    found.sort(key=lambda merge: merge[:2])
    return [(left, right) for _, _, left, right in found]


def _unigram(header: GGUFHeader, tokens: list[str], scores: list[float], kinds: list[int]) -> Tokenizer:
    # What is no normal token must never be chosen for its score: control tokens have one of 0, the best there is.
    lowest = min(scores) - 100.0
    ranked = [
        (token, score if kind == _NORMAL else lowest) for token, score, kind in zip(tokens, scores, kinds, strict=True)
    ]
    return Tokenizer(Unigram(ranked, unk_id=_unknown_id(header, tokens), byte_fallback=_BYTE in kinds))
