"""The decoder and the batch of a leader: as ever, but that other machines take part in each pass. Whatever waits for
them is watched, and raises RankLostError, which names the machine, where one is gone."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from mlx_spec.batching.batch import Batch
from mlx_spec.batching.settings import BatchSettings
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.decoding.following.telling import Teller
from mlx_spec.events import Event
from mlx_spec.hosts.leading import Leading
from mlx_spec.models.progress import silent
from mlx_spec.server.engine.served import Progress


class LedDecoder(SpeculativeDecoder):
    """Of a pair whose target `leading` has others take part in, by what `teller` says."""

    def __init__(self, leading: Leading, teller: Teller, *args: Any, **options: Any) -> None:
        self.leading, self.teller = leading, teller
        super().__init__(*args, **options)

    def calibrate(self, progress: Progress = silent) -> Any:
        """Measure what passes cost, over all ranks, watched. Raises RankLostError."""
        with watched(self.leading, "calibrating"):
            return super().calibrate(progress)

    def warm_up(self) -> Iterator[None]:
        """Do a round of each kind that may be drafted, each watched. Its steps raise RankLostError."""
        return _watched_steps(self.leading, "warming", super().warm_up())

    def measure_wide(self) -> Iterator[None]:
        """Measure wide passes, a step at a time, each watched. Its steps raise RankLostError."""
        return _watched_steps(self.leading, "measuring", super().measure_wide())

    def settle(self) -> Iterator[None]:
        """Read what prompts to come will begin with, each step watched. Its steps raise RankLostError."""
        return _watched_steps(self.leading, "settling", super().settle())


class LedBatch(Batch):
    """Of a `LedDecoder`."""

    def __init__(self, decoder: LedDecoder, settings: BatchSettings) -> None:
        self._leading, self._teller = decoder.leading, decoder.teller
        super().__init__(decoder, settings)

    def step(self) -> list[tuple[str, Event]]:
        """A step for all answers under way, watched: what each has said. Raises RankLostError where a rank is gone."""
        with watched(self._leading, "step"):
            told = super().step()
            if self.is_idle:  # until somebody asks again the others would keep what has ended
                self._teller.send()
            return told


@contextmanager
def watched(leading: Leading, kind: str) -> Iterator[None]:
    """Watch the work inside, which is of some `kind`; where it fails because a rank is gone, it fails with that."""
    try:
        with leading.watchdog.watching(kind):
            yield
    except Exception as error:
        if (lost := leading.explained(error)) is not None and lost is not error:
            raise lost from error
        raise


def _watched_steps(leading: Leading, kind: str, steps: Iterator[None]) -> Iterator[None]:
    try:
        while True:
            with watched(leading, kind):
                if next(steps, _END) is _END:
                    return
            yield
    finally:
        if isinstance(steps, Generator):
            steps.close()


_END: Any = object()
