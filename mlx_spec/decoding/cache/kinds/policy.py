"""What rolling back asks of one layer's cache. Each kind that mlx-lm makes answers it in a file of its own."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol, runtime_checkable

import mlx.core as mx


class CachePolicy(Protocol):
    """How the newest tokens leave one cache without a trace.

    A *pass* is one forward pass over one or more tokens. Passes are taken back newest first.
    """

    marks: ClassVar[bool]
    """Whether a pass destroys something that `take_back` needs: then `mark` is called before it."""

    def mark(self, count: int) -> Any:
        """Told before a pass over `count` tokens; what it returns is given to `take_back`. Lazy: reads no value."""

    def take_back(self, mark: Any, count: int) -> None:
        """Return to the state before the newest pass, which was over `count` tokens and began with `mark`."""


@runtime_checkable
class PartPolicy(CachePolicy, Protocol):
    """A cache that can give back a part of a pass. Of others what was to stay of one has to be fed again."""

    def drop(self, count: int) -> None:
        """Forget the newest `count` tokens of the newest pass, of which at least one stays."""


@runtime_checkable
class StretchPolicy(PartPolicy, Protocol):
    """A cache of which any stretch of tokens can be had, and that can be put together of such."""

    @property
    def num_arrays(self) -> int:
        """How many arrays it holds its tokens in."""
        ...

    def arrays(self) -> list[mx.array]:
        """What holds the tokens, `[batch, heads, length, width]` each; none where none were read."""

    def room(self, length: int, *, reads_on: bool) -> int:
        """For how many tokens more there would be room behind `length` that were read, and behind the next ones where
        it `reads_on`."""

    def hold(self, arrays: list[mx.array], length: int) -> None:
        """Hold just the first `length` tokens of `arrays`, which have the `room` behind them."""

    def clear(self) -> None:
        """Hold nothing."""


@runtime_checkable
class TreePolicy(PartPolicy, Protocol):
    """A cache that can hold a tree of tokens, of which one path stays."""

    def tree(self, count: int) -> tuple[list[mx.array], int]:
        """The arrays `[batch, heads, length, width]` that hold the newest `count` tokens, and the row of the first."""

    def keep(self, arrays: list[mx.array], count: int, kept: int) -> None:
        """Of the newest `count` tokens keep `kept`, which `arrays` hold in order from that row on; forget the rest."""


class Unmarked(ABC):
    """Of caches that lose nothing by a pass, which may be taken back whole as well as in part."""

    marks: ClassVar[bool] = False

    def mark(self, count: int) -> Any:
        """Nothing is destroyed by a pass."""
        return None

    def take_back(self, mark: Any, count: int) -> None:
        """Forget all `count` tokens of the newest pass."""
        self.drop(count)

    @abstractmethod
    def drop(self, count: int) -> None:
        """Forget the newest `count` tokens."""
