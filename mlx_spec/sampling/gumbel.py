"""The noise that draws a token: Gumbel noise by absolute position; the same for draft and target.

Randomness is counter-based (Threefry-2x32, Salmon et al. 2011): a function of the seed, the absolute position in
the sequence and the token id, never of what was drawn before. That is what makes `coupled` decoding possible
(Daliri, Musco and Suresh 2024, arXiv 2408.07978): draft and target see the same noise at the same position.
"""

from enum import IntEnum
from typing import Final, cast

import mlx.core as mx
import numpy as np

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
