"""The collectives that a rank of a split target makes, lazily. All of a pass's go through here, so that they can be
told before any is made."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, cast

import mlx.core as mx

Kind = Literal["gather", "sum", "send", "receive"]


@dataclass(frozen=True, slots=True)
class Collective:
    """One that a pass makes: what this rank puts in, or gets, as one array of `shape`."""

    kind: Kind
    shape: tuple[int, ...]
    nbytes: int


class Links:
    """A rank's links to the others of its group.

    Its own `rank()` and `size()` are those of a `mx.distributed.Group`, so that MLX's and mlx-lm's functions that cut
    weights take it for one. It can stand for a group that is not there, as long as no pass is computed.
    """

    def __init__(self, group: mx.distributed.Group | None, rank: int | None = None, size: int | None = None) -> None:
        self.group = group
        self._rank = group.rank() if group is not None else cast(int, rank)
        self._size = group.size() if group is not None else cast(int, size)
        self._told: list[Collective] | None = None
        self.newest: mx.array | None = None
        """What the newest collective gave of those that were made while it `keeps`; not computed yet."""
        self.keeps = False

    def rank(self) -> int:
        """Which of the ranks this is; 0 leads."""
        return self._rank

    def size(self) -> int:
        """How many ranks there are."""
        return self._size

    @contextmanager
    def told(self) -> Iterator[list[Collective]]:
        """The collectives of the passes that are built inside, in order. None of these may be computed."""
        before, self._told = self._told, []
        try:
            yield self._told
        finally:
            self._told = before

    def gathered(self, x: mx.array) -> mx.array:
        """What each rank has of `x`, `[ranks, *x.shape]`."""
        self._tell("gather", x)
        if self._told is not None or self.group is None:
            return mx.broadcast_to(x[None], (self._size, *x.shape))
        return self._made(mx.distributed.all_gather(x[None], group=self.group))

    def side_by_side(self, x: mx.array) -> mx.array:
        """The last axis put together of what each rank has of it: `[..., n]` to `[..., ranks * n]`."""
        parts = mx.moveaxis(self.gathered(x), 0, -2)
        return parts.reshape(*x.shape[:-1], self._size * x.shape[-1])

    def added(self, x: mx.array) -> mx.array:
        """The sum over all ranks in their order, so that a row's bits depend on nothing else."""
        parts = self.gathered(x)
        total = parts[0]
        for rank in range(1, self._size):
            total = total + parts[rank]
        return total

    def summed(self, x: mx.array) -> mx.array:
        """MLX's own sum: the least to send. From three ranks on a row's bits depend on the rows beside it."""
        self._tell("sum", x)
        if self._told is not None or self.group is None:
            return x
        return self._made(mx.distributed.all_sum(x, group=self.group))

    def sent(self, x: mx.array, to: int) -> mx.array:
        """`x`, which is sent where it is computed."""
        self._tell("send", x)
        if self._told is not None or self.group is None:
            return x
        return self._made(mx.distributed.send(x, to, group=self.group))

    def received(self, shape: tuple[int, ...], dtype: mx.Dtype, source: int) -> mx.array:
        """What `source` sends."""
        like = mx.zeros(shape, dtype=dtype)
        self._tell("receive", like)
        if self._told is not None or self.group is None:
            return like
        return self._made(mx.distributed.recv(shape, dtype, source, group=self.group))

    def agreed(self, verdict: bool) -> bool:
        """Whether all ranks say so, at once."""
        if self.newest is not None:
            mx.eval(self.newest)
        return bool(self.gathered(mx.array([verdict])).all().item())

    def _made(self, result: mx.array) -> mx.array:
        if self.keeps:
            self.newest = result
        return result

    def _tell(self, kind: Kind, x: mx.array) -> None:
        if self._told is not None:
            self._told.append(Collective(kind, tuple(x.shape), x.nbytes))
