"""A pool that counts, as far as tables ask for it."""

from collections import Counter

import numpy as np


class CountedBlocks:
    """`capacity` blocks, handed out in an order of its own where there is a `seed`."""

    def __init__(self, capacity: int, seed: int | None = None) -> None:
        order = range(capacity) if seed is None else np.random.default_rng(seed).permutation(capacity).tolist()
        self.free = list(order)
        self.held: Counter[int] = Counter()

    def allocate(self) -> int:
        if not self.free:
            raise MemoryError("no block is free")
        block = self.free.pop(0)
        self.held[block] = 1
        return block

    def share(self, block: int) -> None:
        assert self.held[block] > 0
        self.held[block] += 1

    def release(self, block: int) -> None:
        assert self.held[block] > 0
        self.held[block] -= 1
        if not self.held[block]:
            self.free.append(block)

    def writable(self, block: int) -> int:
        if self.held[block] == 1:
            return block
        copy = self.allocate()
        self.release(block)
        return copy
