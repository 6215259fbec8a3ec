"""What the leader has to tell, gathered until a pass needs it: a message a pass, with all that was done since the last.

Belongs to the thread that owns MLX; but an object may end in any.
"""

import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import mlx.core as mx

from mlx_spec.errors import LookaheadError

Operation = dict[str, Any]
"""`op` is its name; all else is JSON too."""
Message = dict[str, Any]
"""`do`: operations, in their order."""


class Number:
    """By what the others know one of the leader's objects, whose attribute it is: it ends with it."""

    __slots__ = ("__weakref__", "value")

    def __init__(self, value: int) -> None:
        self.value = value


class Teller:
    """Tells the others, in order, what was done."""

    def __init__(self, tell: Callable[[Message], None], spoilt: Callable[[str], object] = lambda why: None) -> None:
        self._tell, self._spoilt = tell, spoilt
        self._waiting: deque[Operation] = deque()
        self._numbers = count()
        self._in_trial = False
        self._failed: str | None = None

    def number(self) -> Number:
        """One for a new object. When that ends, so do those that others have of that number."""
        number = Number(next(self._numbers))
        weakref.finalize(number, self._ended, number.value).atexit = False
        return number

    def note(self, op: str, **told: Any) -> None:
        """Tell of an operation with the next pass."""
        self._waiting.append({"op": op, **told})

    def send(self) -> None:
        """Tell what waits to be told, now. Raises LookaheadError where the others are out of step, and what `tell`
        raises."""
        if self._failed is not None:
            raise LookaheadError(
                "The machines that share the target are out of step, as a pass failed on this one alone: they have to"
                " be started again.",
                details=self._failed,
            )
        operations = []
        while self._waiting:
            operations.append(self._waiting.popleft())
        if operations:
            self._tell({"do": operations})

    @contextmanager
    def made_by_all(self) -> Iterator[None]:
        """What was sent is done inside. Where that fails here, the others wait for this one in vain: from then on there
        is nothing to tell them."""
        try:
            yield
        except BaseException as error:
            if self._failed is None:
                self._failed = repr(error)
                self._spoilt(self._failed)
            raise

    def _ended(self, number: int) -> None:
        self._waiting.append({"op": "drop", "number": number})

    # As `Others` of trials.

    def begin_trial(self, name: str, how: Any) -> None:
        """Have the others begin it too."""
        self.note("trial", name=name, **how)
        self._in_trial = True

    def go(self, arrays: list[mx.array]) -> None:
        """A pass of the trial was built here; so it will be there."""
        if self._in_trial:
            self.note("go")
            self.send()
            mx.async_eval(arrays)  # type: ignore[no-untyped-call]

    def judged(self, agrees: bool) -> bool:
        """Tell the verdict."""
        if self._in_trial:
            self.note("judged", agrees=agrees)
        return agrees

    def end_trial(self) -> None:
        """Whatever came of it here, it is over there."""
        self._in_trial = False
        self.note("end")
        self.send()
