"""The blocks of one answer, in the order of its text. All its layers share one table."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

from mlx_spec.decoding.cache.paged.arrays import LayerBlocks, Piece, copy_blocks


class Blocks(Protocol):
    """Which blocks are taken, and how often each is held."""

    def allocate(self) -> int:
        """A free block, held once."""
        ...

    def share(self, block: int) -> None:
        """Hold it once more."""
        ...

    def release(self, block: int) -> Any:
        """Hold it once less."""
        ...

    def writable(self, block: int) -> int:
        """The same block where nobody else holds it; else another in its place, held once, to copy it into."""
        ...


class BlockTable:
    """Holds its blocks; what of a block is written, the caches of its layers know, by their offsets."""

    def __init__(
        self, pool: Blocks, layers: Sequence[LayerBlocks], block_tokens: int, held: Sequence[int] = ()
    ) -> None:
        """`held` are blocks that the table holds from now on, shared for it."""
        self._pool, self._layers, self.block_tokens = pool, layers, block_tokens
        self._blocks = list(held)
        self.memo: Any = None
        """What somebody has worked out of the table for the pass that is being built."""

    @property
    def blocks(self) -> tuple[int, ...]:
        """Their numbers."""
        return tuple(self._blocks)

    def make_room(self, begin: int, end: int) -> list[Piece]:
        """Where tokens `begin` to `end` of the text are to be written, in blocks that nobody else holds: new ones are
        allocated, shared ones copied. Raises what the pool raises where it has none; nothing that is held is lost."""
        size = self.block_tokens
        first, last = begin // size, -(-end // size)
        while len(self._blocks) < last:
            self._blocks.append(self._pool.allocate())
        for at in range(first, last):
            own = self._pool.writable(self._blocks[at])
            if own != self._blocks[at]:
                shared, self._blocks[at] = self._blocks[at], own
                copy_blocks(self._layers, [(shared, own)])
        edges = [begin, *range((first + 1) * size, end, size), end]
        return [
            Piece(self._blocks[one // size], one % size, one - begin, other - one) for one, other in pairwise(edges)
        ]

    def cut(self, length: int) -> None:
        """Give back what lies behind a text of so many tokens."""
        while len(self._blocks) > -(-length // self.block_tokens):
            self._pool.release(self._blocks.pop())

    def shared(self) -> "BlockTable":
        """Another table of the same blocks: whoever writes first copies the block that it writes."""
        for block in self._blocks:
            self._pool.share(block)
        return BlockTable(self._pool, self._layers, self.block_tokens, self._blocks)

    def release(self) -> None:
        """Give all of them back."""
        self.cut(0)
