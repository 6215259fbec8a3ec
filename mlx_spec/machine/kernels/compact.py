"""Keeps the accepted path of a tree in the caches: its keys and values move to where a chain would have put them.

A Metal kernel of MLX's cannot write into its inputs, so one launch gathers what stays from up to 28 arrays, and MLX
writes each part back in place, where nothing else holds the array. What stands in its place already is not moved:
a tree whose first branch was accepted costs nothing.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import mlx.core as mx

from mlx_spec.machine.kernels import dispatch
from mlx_spec.machine.kernels.metal import MetalKernel, threads_for

_ARRAYS: Final = 28

GATHER: Final = MetalKernel("compact", (*(f"a{i}" for i in range(_ARRAYS)), "moved_rows"), ("moved",))


def compact(arrays: Sequence[mx.array], begin: int, indices: Sequence[int]) -> list[mx.array]:
    """The arrays `[batch, heads, length, width]` with rows `begin + indices[i]` of axis 2 at `begin + i`.

    `indices` ascend from 0, as `tree` paths do; what lies behind the last of them has no meaning. Rotating caches
    qualify while they are in temporal order, which a pass over several tokens leaves them in.
    """
    first = next((i for i, index in enumerate(indices) if index != i), len(indices))
    sources = [begin + index for index in indices[first:]]
    if not sources:
        return list(arrays)
    gathered = _gathered(arrays, sources)
    where = mx.array(begin + first)
    return [mx.slice_update(array, rows, where, axes=(2,)) for array, rows in zip(arrays, gathered, strict=True)]


def _gathered(arrays: Sequence[mx.array], sources: list[int]) -> list[mx.array]:
    """Rows `sources` of axis 2 of every array."""
    if not dispatch.serves():
        taken = mx.array(sources, dtype=mx.int32)
        return [mx.take(array, taken, axis=2) for array in arrays]
    found: dict[int, mx.array] = {}
    alike: dict[tuple[tuple[int, ...], mx.Dtype], list[int]] = defaultdict(list)
    for number, array in enumerate(arrays):
        alike[tuple(array.shape), array.dtype].append(number)
    for numbers in alike.values():
        for at in range(0, len(numbers), _ARRAYS):
            batch = numbers[at : at + _ARRAYS]
            found.update(zip(batch, _launch([arrays[number] for number in batch], sources), strict=True))
    return [found[number] for number in range(len(arrays))]


def _launch(arrays: list[mx.array], sources: list[int]) -> list[mx.array]:
    batch, heads, _, width = arrays[0].shape
    shape = (batch, heads, len(sources), width)
    threads = threads_for(batch * heads * len(sources) * width)
    padded = arrays + [arrays[-1]] * (_ARRAYS - len(arrays))
    (moved,) = GATHER(
        [*padded, mx.array([len(sources), *sources, *[0] * 8], dtype=mx.int32)],
        template={"T": arrays[0].dtype},
        groups=(-(-batch * heads * len(sources) * width // threads), len(arrays)),
        threads=threads,
        outputs=[((len(arrays), *shape), arrays[0].dtype)],
    )
    return [moved[i] for i in range(len(arrays))]
