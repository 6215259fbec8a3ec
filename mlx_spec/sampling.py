"""Logits to the distribution that a token is drawn from, and the noise that draws it; the same for draft and target.

Filters apply in the order temperature, top-k, top-p, min-p, each to what the one before left. They work on
*scores*: logits divided by the temperature, with removed tokens at -inf, not normalised. An argmax needs no more.

Randomness is counter-based (Threefry-2x32, Salmon et al. 2011): a function of the seed, the absolute position in
the sequence and the token id, never of what was drawn before. That is what makes `coupled` decoding possible
(Daliri, Musco and Suresh 2024, arXiv 2408.07978): draft and target see the same noise at the same position.
"""

from enum import IntEnum
from typing import Final, cast

import mlx.core as mx
import numpy as np

from mlx_spec.config import SamplingParams

_WORD: Final = 0xFFFFFFFF
_ROTATIONS: Final = ((13, 15, 26, 6), (17, 29, 16, 24))
_LARGEST_UNIFORM: Final = 1.0 - 2.0**-24


class Stream(IntEnum):
    """Independent sources of randomness: `coupled` shares TARGET between draft and target, `token` shares none."""

    TARGET = 0
    DRAFT = 1
    ACCEPT = 2
    RECOVER = 3


def threefry(key: tuple[int, int], counter: tuple[int, int]) -> tuple[int, int]:
    """Threefry-2x32 with 20 rounds, the generator behind `mx.random`, on Python integers of 32 bits."""
    words = (key[0], key[1], key[0] ^ key[1] ^ 0x1BD11BDA)
    x, y = (counter[0] + words[0]) & _WORD, (counter[1] + words[1]) & _WORD
    for block in range(5):
        for rotation in _ROTATIONS[block % 2]:
            x = (x + y) & _WORD
            y = (((y << rotation) | (y >> (32 - rotation))) & _WORD) ^ x
        x = (x + words[(block + 1) % 3]) & _WORD
        y = (y + words[(block + 2) % 3] + block + 1) & _WORD
    return x, y


def stream_key(seed: int, position: int, stream: Stream = Stream.TARGET, salt: int = 0) -> tuple[int, int]:
    """The key of one position of one stream. `salt` tells apart uses that must not repeat, such as rounds."""
    key = threefry((seed >> 32 & _WORD, seed & _WORD), (int(stream), salt & _WORD))
    return threefry(key, (position & _WORD, position >> 32 & _WORD))


def stream_uniform(seed: int, position: int, stream: Stream, salt: int = 0) -> float:
    """One uniform number in [0, 1) with 24 bits, of one position of one stream."""
    return float((stream_key(seed, position, stream, salt)[0] >> 8) * 2.0**-24)


def gumbel(key: mx.array, vocab_size: int) -> mx.array:
    """Gumbel noise `[vocab]` from one key `[2]` (uint32).

    With u = (bits + 0.5) / 2^32 it is -log(-log1p(-u)): the large values, which decide an argmax, come from small
    u, where float32 is fine-grained.
    """
    uniform = mx.minimum((_words(key, vocab_size).astype(mx.float32) + 0.5) * 2.0**-32, _LARGEST_UNIFORM)
    return -mx.log(-mx.log1p(-uniform))


def noise(seed: int, position: int, vocab_size: int) -> mx.array:
    """The Gumbel noise `[vocab]` of one absolute position (0 is the first token of the prompt)."""
    return keyed_noise(stream_key(seed, position), vocab_size)


def keyed_noise(key: tuple[int, int], vocab_size: int) -> mx.array:
    """The Gumbel noise `[vocab]` of one key.

    MLX's CPU backend takes one logarithm at a time, so on a CPU device NumPy takes them (measured: 0.9 instead of
    2.2 ms for 49,152 tokens); the bits are the same everywhere, the last digit of a logarithm may not be.
    """
    words_key = mx.array(key, dtype=mx.uint32)
    if mx.default_device() == mx.Device(mx.gpu):
        return gumbel(words_key, vocab_size)
    words = np.asarray(_words(words_key, vocab_size)).astype(np.float32)
    uniform = np.minimum((words + np.float32(0.5)) * np.float32(2.0**-32), np.float32(_LARGEST_UNIFORM))
    return mx.array(-np.log(-np.log1p(-uniform)))


def _words(key: mx.array, count: int) -> mx.array:
    """The first `count` Threefry words (uint32) of a key `[2]`: `mx.random.split` hands them out raw."""
    return mx.random.split(key, (count + 1) // 2).reshape(-1)[:count]


def sample(p: mx.array, seed: int, position: int) -> int:
    """An exact sample of the distribution p `[vocab]`: argmax(log p + noise)."""
    return cast(int, mx.argmax(mx.log(p) + noise(seed, position, p.shape[-1])).item())


class NoiseTable:
    """Noise rows of one request by absolute position, kept from drafting to verifying and on to the next round."""

    def __init__(self, seed: int, vocab_size: int) -> None:
        self._seed = seed
        self.vocab_size = vocab_size
        self._rows: dict[int, mx.array] = {}

    def row(self, position: int) -> mx.array:
        """The noise `[vocab]` of one position."""
        if position not in self._rows:
            self._rows[position] = noise(self._seed, position, self.vocab_size)
        return self._rows[position]

    def rows(self, position: int, count: int) -> mx.array:
        """The noise `[count, vocab]` of `count` positions from `position` on."""
        return mx.stack([self.row(position + i) for i in range(count)])

    def forget_before(self, position: int) -> None:
        """Drop the rows of positions that are decided."""
        self._rows = {at: row for at, row in self._rows.items() if at >= position}


def scores(logits: mx.array, params: SamplingParams) -> mx.array:
    """Warped, unnormalised log-probabilities `[..., vocab]` (float32) of logits `[..., vocab]`.

    At temperature 0 the logits come back as they are: the argmax is the token, and no filter can remove it.
    """
    rows = logits.astype(mx.float32)
    if params.greedy:
        return rows
    if params.temperature != 1.0:
        rows = rows * (1.0 / params.temperature)
    if 0 < params.top_k < rows.shape[-1]:
        rows = _keep_top_k(rows, params.top_k)
    if params.top_p < 1:
        rows = _keep_top_p(rows, params.top_p)
    if params.min_p > 0:
        least = mx.max(rows, axis=-1, keepdims=True) + float(np.log(params.min_p))
        rows = mx.where(rows >= least, rows, -mx.inf)
    return rows


def _keep_top_k(rows: mx.array, k: int) -> mx.array:
    """Keep the k largest of each row, and whatever ties with the smallest of them."""
    kth = mx.min(mx.topk(rows, k, axis=-1), axis=-1, keepdims=True)
    return mx.where(rows >= kth, rows, -mx.inf)


def _keep_top_p(rows: mx.array, top_p: float) -> mx.array:
    """Keep the fewest most likely tokens with at least `top_p` of the mass, and whatever ties with the last of them."""
    ordered = mx.sort(rows, axis=-1)
    below = mx.cumsum(mx.softmax(ordered, axis=-1), axis=-1)
    # `below[i]` is the mass of the i + 1 least likely: they may go while it stays under 1 - top_p.
    cut = mx.sum(below <= 1.0 - top_p, axis=-1, keepdims=True)
    cut = mx.minimum(cut, rows.shape[-1] - 1)
    return mx.where(rows >= mx.take_along_axis(ordered, cut, axis=-1), rows, -mx.inf)


def log_normaliser(rows: mx.array) -> mx.array:
    """log Σ exp of each row, `[..., vocab]` to `[...]`.

    MLX's CPU backend computes one exponential at a time (measured 36 times slower than NumPy's vector one), so on a
    CPU device the rows are evaluated and NumPy sums them. On a GPU this stays a lazy part of the round's graph.
    """
    if mx.default_device() == mx.Device(mx.gpu) or rows.dtype != mx.float32:
        return mx.logsumexp(rows.astype(mx.float32), axis=-1)
    values = np.asarray(rows)
    top = values.max(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):  # a row with NaN stays NaN, which the decoder reports
        sums = np.exp(values - top).sum(axis=-1)
    return mx.array(np.log(sums) + top[..., 0])


def log_distribution(rows: mx.array) -> mx.array:
    """Normalised log-probabilities `[..., vocab]` of scores, as the `token` rule needs them."""
    return rows - mx.logsumexp(rows, axis=-1, keepdims=True)
