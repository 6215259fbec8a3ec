"""Which blocks of keys and values are taken, and by how many: numbers only, no memory."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

BLOCK_TOKENS: Final = 64
"""Of a text, in one block: as many as the smallest chunk in which prompts are read."""

PART_TOKENS: Final = 16
"""Of a text, behind its last whole block: a multiple of so many are kept as a block that is shorter. As few as a pass
over a prompt reads."""

LEAST_BLOCK_BYTES: Final = 1024
"""Of a model that holds no keys and values: a text of its still takes something."""


class OutOfBlocksError(Exception):
    """Nothing is free: who asked makes room first, or does without."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Blocks in all, those that somebody holds, and of these the ones that several do."""

    total: int
    used: int
    shared: int

    @property
    def free(self) -> int:
        """Blocks that nobody holds."""
        return self.total - self.used


class BlockPool:
    """`capacity` blocks, by number; each is free or held, by one or by several. All is O(1) but `usage`, `check`.

    After it was made smaller there may be more blocks held than there are: then nothing is free until enough were
    released.
    """

    def __init__(self, capacity: int, block_tokens: int = BLOCK_TOKENS) -> None:
        self._capacity, self.block_tokens = capacity, block_tokens
        self._holders: dict[int, int] = {}
        self._released: list[int] = []  # numbers that were used before
        self._unused = 0  # the first number that never was

    @property
    def capacity(self) -> int:
        """Blocks in all."""
        return self._capacity

    @property
    def num_free(self) -> int:
        """Blocks that could be allocated now."""
        return max(0, self._capacity - len(self._holders))

    def blocks_for(self, num_tokens: int) -> int:
        """How many blocks so many tokens take."""
        return -(-num_tokens // self.block_tokens)

    def can_allocate(self, num_tokens: int) -> bool:
        """Whether so many tokens fit into what is free."""
        return self.blocks_for(num_tokens) <= self.num_free

    def allocate(self) -> int:
        """Take a free block, held once; raises OutOfBlocksError where there is none."""
        if not self.num_free:
            raise OutOfBlocksError(f"all {self._capacity} blocks are held")
        if self._released:
            block = self._released.pop()
        else:
            block, self._unused = self._unused, self._unused + 1
        self._holders[block] = 1
        return block

    def share(self, block: int) -> None:
        """Hold a block that is held already once more."""
        self._holders[self._held(block)] += 1

    def release(self, block: int) -> bool:
        """Hold it once less; whether it is free now."""
        left = self._holders[self._held(block)] - 1
        if left:
            self._holders[block] = left
            return False
        del self._holders[block]
        self._released.append(block)
        return True

    def writable(self, block: int) -> int:
        """The same block where nobody else holds it; otherwise a new one in its place, into which its content is to be
        copied before it is written. Raises OutOfBlocksError, and changes nothing, where there is none."""
        if self._holders[self._held(block)] == 1:
            return block
        copy = self.allocate()
        self._holders[block] -= 1
        return copy

    def holders(self, block: int) -> int:
        """How often it is held; 0 where it is free."""
        return self._holders.get(block, 0)

    def resize(self, capacity: int) -> None:
        """Have another number of blocks."""
        self._capacity = capacity

    def usage(self) -> Usage:
        """How full it is. O(blocks that are held)."""
        shared = sum(count > 1 for count in self._holders.values())
        return Usage(self._capacity, len(self._holders), shared)

    def check(self, tables: Iterable[Iterable[int]]) -> None:
        """Raise AssertionError unless `tables`, which are all that is held, hold just what is counted."""
        counted = Counter(block for table in tables for block in table)
        assert counted == self._holders, f"held {dict(counted)}, counted {self._holders}"
        free = set(self._released)
        assert len(free) == len(self._released), "a block is free twice"
        assert not free & self._holders.keys(), "a block is both free and held"
        assert free | self._holders.keys() == set(range(self._unused)), "a block is lost"

    def _held(self, block: int) -> int:
        if block not in self._holders:
            raise ValueError(f"block {block} is held by nobody")
        return block
