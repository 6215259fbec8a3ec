"""All exponentials of a gate: which of them differ from MLX's own.

    python -m tests.machine.kernels.every_exponential

A minute for the 1.1 billion magnitudes (float32) up to 90. A sign is taken off before, so these are all there are; what
is more than that is told by `test_round_gates`.
"""

import sys
from collections.abc import Iterator

import mlx.core as mx
import numpy as np

from mlx_spec.machine.kernels import round_gates

HIGHEST = 90.0
_AT_ONCE = 1 << 22


def magnitudes(every: int = 1) -> Iterator[mx.array]:
    """All float32 from 0 to `HIGHEST`, or one of `every` so many, in pieces."""
    last = int(np.float32(HIGHEST).view(np.uint32))
    for first in range(0, last + 1, every * _AT_ONCE):
        bits = np.arange(first, min(first + every * _AT_ONCE, last + 1), every, dtype=np.uint32)
        yield mx.array(bits).view(mx.float32)


def differing(x: mx.array) -> int:
    """For how many of `x` (not below 0) the exponential has other bits than MLX's."""
    fractions, powers = round_gates._PARTS(x)
    found = fractions * powers.view(mx.float32)
    count: int = mx.sum(mx.exp(x).view(mx.int32) != found.view(mx.int32)).item()  # type: ignore[assignment]
    return count


if __name__ == "__main__":
    tried = found = 0
    for piece in magnitudes():
        tried, found = tried + piece.size, found + differing(piece)
    sys.stdout.write(f"{tried:,} exponentials, {found:,} of them with other bits than MLX's\n")
    sys.exit(1 if found else 0)
