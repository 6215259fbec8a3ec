"""SentencePiece in a GGUF file: the BPE of Llama 2, Mistral, Gemma and Phi-3, and the unigram models of T5's kind.

Gemma 4 lists its merges, as byte-level files do, instead of leaving them to the scores.

Their spaces are `▁`; a character without a token is spelt as its bytes.
"""

from typing import Final

from tokenizers import Regex, Tokenizer, decoders, normalizers
from tokenizers.models import BPE, Unigram

from mlx_spec.errors import CorruptModelError
from mlx_spec.models.gguf.byte_level import listed_merges
from mlx_spec.models.gguf.header import GGUFHeader
from mlx_spec.models.gguf.tokens import BYTE, NORMAL, GGUFTokens

_SPACE: Final = "\N{LOWER ONE EIGHTH BLOCK}"


def sentencepiece_tokenizer(header: GGUFHeader, tokens: GGUFTokens) -> Tokenizer:
    """Return the tokenizer without its special tokens. Raises CorruptModelError for a damaged vocabulary."""
    scores = header.numbers("tokenizer.ggml.scores")
    if len(scores) != len(tokens.texts):
        raise CorruptModelError(f"{header.path} has a damaged tokenizer: tokens lack their scores.")
    prefix = header.flag("tokenizer.ggml.add_space_prefix", True)
    unigram = header.text("tokenizer.ggml.model") == "t5"
    build = _unigram if unigram else _bpe
    try:
        tokenizer = build(header, tokens, scores)
        tokenizer.normalizer = normalizers.Sequence(_normalizers(header, prefix, unigram))
    except CorruptModelError:
        raise
    except Exception as error:  # `tokenizers` raises bare Exception
        raise CorruptModelError(f"{header.path} has a damaged tokenizer ({error}).") from error
    tokenizer.decoder = _decoder(prefix)
    return tokenizer


def merging_tokenizer(header: GGUFHeader, tokens: GGUFTokens) -> Tokenizer:
    """Return the tokenizer of a file that lists its merges, without special tokens. Raises CorruptModelError."""
    try:
        tokenizer = Tokenizer(_model(header, tokens, listed_merges(header)))
    except CorruptModelError:
        raise
    except Exception as error:  # `tokenizers` raises bare Exception
        raise CorruptModelError(f"{header.path} has a damaged tokenizer ({error}).") from error
    tokenizer.normalizer = normalizers.Replace(" ", _SPACE)
    tokenizer.decoder = _decoder(prefix=False)
    return tokenizer


def _decoder(prefix: bool) -> decoders.Decoder:
    steps = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if prefix else steps)


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


def _bpe(header: GGUFHeader, tokens: GGUFTokens, scores: list[float]) -> Tokenizer:
    return Tokenizer(_model(header, tokens, _merges(tokens, scores)))


def _model(header: GGUFHeader, tokens: GGUFTokens, merges: list[tuple[str, str]]) -> BPE:
    unknown = tokens.texts[_unknown_id(header, tokens.texts)]
    fallback = BYTE in tokens.kinds
    return BPE(vocab=tokens.ids(), merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=fallback)


def _merges(tokens: GGUFTokens, scores: list[float]) -> list[tuple[str, str]]:
    """Every way to make a token of two others, in the order in which SentencePiece prefers their results."""
    normal = {token for token, kind in zip(tokens.texts, tokens.kinds, strict=True) if kind == NORMAL}
    found = []
    for index, token in enumerate(tokens.texts):
        if token not in normal:
            continue
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in normal and right in normal:
                found.append((-scores[index], index, left, right))
    found.sort(key=lambda merge: merge[:2])
    return [(left, right) for _, _, left, right in found]


def _unigram(header: GGUFHeader, tokens: GGUFTokens, scores: list[float]) -> Tokenizer:
    # What is no normal token must never be chosen for its score: control tokens have one of 0, the best there is.
    lowest = min(scores) - 100.0
    kept = len(tokens.ids())
    ranked = [
        (token, score if kind == NORMAL else lowest)
        for token, score, kind in zip(tokens.texts[:kept], scores[:kept], tokens.kinds[:kept], strict=True)
    ]
    return Tokenizer(Unigram(ranked, unk_id=_unknown_id(header, tokens.texts), byte_fallback=BYTE in tokens.kinds))
