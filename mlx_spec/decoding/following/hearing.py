"""What a follower hears, an operation at a time, and where it has to be in step with the leader."""

from collections import deque
from collections.abc import Callable
from typing import Any

import mlx.core as mx

from mlx_spec.decoding.following.telling import Message, Operation
from mlx_spec.errors import LookaheadError


class OutOfStepError(LookaheadError):
    """What is told is not what can come now: leader and follower are not of the same version, or model."""


class ClosedError(Exception):
    """The leader has ended in the midst of something."""


class _GivenUpError(Exception):
    """What is tried here was given up by the leader: it could not be built there."""


class Hearer:
    """Gives what was told, in order; as `Others` of trials, it has the leader's verdicts. `drop` hears of the objects
    that have ended: they may at any time, in the midst of anything else."""

    def __init__(self, next_step: Callable[[], Message | None], drop: Callable[[int], None]) -> None:
        self._next_step, self._drop = next_step, drop
        self._waiting: deque[Operation] = deque()
        self._in_trial = self._trial_ended = False
        self._verdict: bool | None = None

    def next(self) -> Operation | None:
        """The next operation; None when the leader has ended."""
        while True:
            while not self._waiting:
                message = self._next_step()
                if message is None:
                    return None
                self._waiting.extend(message["do"])
            operation = self._waiting.popleft()
            if operation["op"] != "drop":
                return operation
            self._drop(operation["number"])

    def expect(self, *names: str, of: int | None = None) -> Operation:
        """The next operation, which is one of these. Raises OutOfStepError where it is not, ClosedError where there is
        none."""
        found = self.next()
        if found is None:
            raise ClosedError
        if found["op"] not in names or (of is not None and found["of"] != of):
            raise OutOfStepError(
                f"The leader said {found['op']!r} where {' or '.join(names)} comes next: the machines do not do the"
                " same. Give all of them the same version, and start again."
            )
        return found

    def try_out(self, attempt: Callable[[], Any]) -> None:
        """Try what the leader tries, until that is over."""
        self._in_trial, self._trial_ended, self._verdict = True, False, None
        try:
            attempt()
        except _GivenUpError:
            if not self._trial_ended:
                raise
        finally:
            self._in_trial = False
        if not self._trial_ended:
            self.expect("end")

    # As `Others` of trials.

    def begin_trial(self, name: str, how: Any) -> None:
        """It was told before."""

    def go(self, arrays: list[mx.array]) -> None:
        """A pass of a trial was built: computed if it is so there."""
        if self._in_trial:
            if self._heard("go")["op"] == "judged":
                raise _GivenUpError
            mx.async_eval(arrays)  # type: ignore[no-untyped-call]

    def judged(self, agrees: bool) -> bool:
        """What the leader found, whatever was found here."""
        if not self._in_trial:
            return agrees
        if self._verdict is None:
            self._heard()
        verdict, self._verdict = self._verdict, None
        assert verdict is not None
        return verdict

    def end_trial(self) -> None:
        """It is told."""

    def _heard(self, *names: str) -> Operation:
        """The next of a trial; one of `names`, a verdict, or its end, which nothing goes beyond."""
        if self._trial_ended:
            raise _GivenUpError
        found = self.expect(*names, "judged", "end")
        if found["op"] == "end":
            self._trial_ended = True
            raise _GivenUpError
        if found["op"] == "judged":
            self._verdict = found["agrees"]
        return found
