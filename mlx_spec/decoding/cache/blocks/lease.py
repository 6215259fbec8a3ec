"""What an answer under way takes of the pool."""

from collections.abc import Callable

from mlx_spec.decoding.cache.blocks.pool import BlockPool


class Lease:
    """The blocks that an answer under way takes for itself."""

    def __init__(self, pool: BlockPool, make_room: Callable[[int], None]) -> None:
        self._pool, self._make_room = pool, make_room
        self.blocks: list[int] = []

    def grow(self, num_tokens: int) -> bool:
        """Take as many blocks as a text of so many tokens needs, texts that are kept making room. False where there are
        no more: memory was taken by others meanwhile."""
        pool = self._pool
        missing = pool.blocks_for(num_tokens) - len(self.blocks)
        if missing > pool.num_free:
            self._make_room(missing)
        while missing > 0 and pool.num_free:
            self.blocks.append(pool.allocate())
            missing -= 1
        return missing <= 0

    def hold(self, count: int) -> bool:
        """Hold so many blocks: give back what is more, or take what is missing. As `grow`."""
        while len(self.blocks) > count:
            self._pool.release(self.blocks.pop())
        return self.grow(count * self._pool.block_tokens)

    def end(self) -> None:
        """Give all of them back."""
        while self.blocks:
            self._pool.release(self.blocks.pop())
