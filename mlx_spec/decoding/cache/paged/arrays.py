"""The memory of a pool of blocks: one array of keys and one of values for each layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import mlx.core as mx

_GROWS_BY: Final = 4


@dataclass(frozen=True, slots=True)
class Piece:
    """`count` tokens that follow each other in one block, from its place `first` on; `at` is the first one's index
    among the tokens that are written."""

    block: int
    first: int
    at: int
    count: int


class LayerBlocks:
    """Keys and values of one layer, `[blocks, kv_heads, block_tokens, width]`, made when they are first written.

    They are written in place, as MLX does it where nobody else holds an array: neither Python, nor work that is still
    to run. So a pass over blocks is built when what the pass before it gave was read; one that is built behind another
    that still runs copies the whole pool.
    """

    held_in: ClassVar = ("keys", "values")

    def __init__(self, num_blocks: int, block_tokens: int) -> None:
        self._num_blocks, self._block_tokens = num_blocks, block_tokens
        self.keys: mx.array | None = None
        self.values: mx.array | None = None

    @property
    def arrays(self) -> list[mx.array]:
        """Keys and values; none before anything was written."""
        return [array for array in (self.keys, self.values) if array is not None]

    def write(self, pieces: Sequence[Piece], keys: mx.array, values: mx.array) -> None:
        """Store tokens `[kv_heads, tokens, width]`, as `pieces` tell."""
        if self.keys is None or self.values is None:
            self.keys, self.values = (self._zeros(array, self._num_blocks) for array in (keys, values))
        self._make_room(1 + max(piece.block for piece in pieces))
        for piece in pieces:
            place = slice(piece.first, piece.first + piece.count)
            given = slice(piece.at, piece.at + piece.count)
            self.keys[piece.block, :, place] = keys[:, given]
            self.values[piece.block, :, place] = values[:, given]

    def take(self, blocks: mx.array) -> list[mx.array]:
        """A copy of some blocks, lazily: as `put` takes it."""
        return [mx.take(array, blocks, axis=0) for array in self.arrays]

    def put(self, blocks: Sequence[int], taken: Sequence[mx.array]) -> None:
        """Store what was taken, and computed, in other blocks."""
        if not taken:
            return
        self._make_room(1 + max(blocks))
        for array, parts in zip(self.arrays, taken, strict=True):
            for at, block in enumerate(blocks):
                array[block] = parts[at]

    def _make_room(self, num_blocks: int) -> None:
        """Grow, by a quarter at least, which copies everything: a pool is best made as large as it may become."""
        assert self.keys is not None
        assert self.values is not None
        has = self.keys.shape[0]
        if num_blocks <= has:
            return
        more = max(num_blocks - has, has // _GROWS_BY)
        self.keys, self.values = (
            mx.concatenate([array, mx.zeros((more, *array.shape[1:]), dtype=array.dtype)]) for array in self.arrays
        )

    def _zeros(self, like: mx.array, num_blocks: int) -> mx.array:
        return mx.zeros((num_blocks, like.shape[0], self._block_tokens, like.shape[2]), dtype=like.dtype)


def copy_blocks(layers: Sequence[LayerBlocks], pairs: Sequence[tuple[int, int]]) -> None:
    """Copy blocks `(from, into)` in all layers, and wait for it: to be written in place an array must not be read by
    what is still to run."""
    sources = mx.array([source for source, _ in pairs], dtype=mx.int32)
    taken = [layer.take(sources) for layer in layers]
    mx.eval(taken)
    for layer, arrays in zip(layers, taken, strict=True):
        layer.put([target for _, target in pairs], arrays)
