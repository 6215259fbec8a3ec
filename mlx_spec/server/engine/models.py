"""The engine's models: loaded, let go of when nobody uses them, and loaded again."""

import logging
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, Literal

from mlx_spec.batching.metrics import Metrics
from mlx_spec.batching.settings import BatchSettings
from mlx_spec.config import Exactness
from mlx_spec.decoding.cache.blocks.prefixes import PrefixStats
from mlx_spec.decoding.cache.blocks.slow import forget_on_disk
from mlx_spec.decoding.cache.rows.widths import RowWidths
from mlx_spec.decoding.measuring.ceiling import Ceiling
from mlx_spec.errors import LookaheadError, RankLostError
from mlx_spec.events import SpeculativeStats
from mlx_spec.server.engine.expecting import Expectation
from mlx_spec.server.engine.import_gate import checked_imports
from mlx_spec.server.engine.served import Batch, BatchMaker, Decoder, Loader, Pair
from mlx_spec.server.engine.unloading import Unloading

EngineState = Literal["loading", "ready", "failed"]

# Answers that end together are all expected to be gone on with, but nobody waits for so many readings.
_MOST_EXPECTED: Final = 8

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """What /health says."""

    state: EngineState
    message: str


class Models:
    """A pair, its decoder and the batch of its answers, and what is told of them. `load`, `let_go_where_due`, `let_go`,
    `expect`, `forget_prefixes`, `renew_batch`, `warm_up` and `let_go_of_warming` are for the thread that owns their
    arrays; the rest may be read by any thread, plain values only."""

    def __init__(
        self, load: Loader, unloading: Unloading[Any] | None, make_batch: BatchMaker, settings: BatchSettings
    ) -> None:
        self._loader, self._make_batch, self.settings = load, make_batch, settings
        self.unloading = unloading
        self.status = EngineStatus("loading", "Loading the models.")
        self.pair: Pair | None = None
        self.decoder: Decoder | None = None
        self.batch: Batch | None = None
        self.metrics = Metrics()
        """Of the newest batch; plain values."""
        self._unloaded = False
        self._idle_since = time.monotonic()
        self._kept_stats = SpeculativeStats()
        self._kept_ceiling: Ceiling | None = None
        self.exactness: tuple[Exactness, RowWidths | None] | None = None
        """What the words of an answer that asks for nothing else are, and how wide passes may be for that, as it was
        measured; None before they are loaded."""
        self._warming: Iterator[None] = iter(())
        self._expectations: list[Expectation] = []  # the newest at the end

    @property
    def are_loaded(self) -> bool:
        """Whether they are in memory."""
        return self.pair is not None and not self._unloaded

    @property
    def is_let_go(self) -> bool:
        """Whether they were in memory and are no more."""
        return self._unloaded

    @property
    def check_s(self) -> float | None:
        """How often to look whether they are still used, in seconds; None where there is nothing to let go."""
        return self.unloading.check_s if self.unloading is not None and self.decoder is not None else None

    def stats(self) -> SpeculativeStats:
        """The counters since they were loaded or the last reset; all zero while loading."""
        decoder = self.decoder  # once, as its own thread may let it go between two looks
        return decoder.stats() if decoder else self._kept_stats

    def reset_stats(self) -> None:
        """Set the counters to zero."""
        self._kept_stats = SpeculativeStats()
        if decoder := self.decoder:
            decoder.reset_stats()

    def prefix_stats(self) -> PrefixStats:
        """What answers have read and left for the next ones; all zero where there are no models in memory."""
        decoder = self.decoder
        return decoder.prefix_stats() if decoder else PrefixStats()

    @property
    def ceiling(self) -> Ceiling | None:
        """How fast plain decoding could be here at the most; None where that was not measured, or not yet."""
        decoder = self.decoder
        return decoder.ceiling if decoder else self._kept_ceiling

    def load(self, check: Callable[[], None]) -> None:
        """Load, and tell by the status how that went. `check` may raise at any step what ends it."""

        def report(stage: str, fraction: float) -> None:
            check()
            self.status = EngineStatus("loading", f"{stage.capitalize()}: {fraction:.0%}")

        try:
            with checked_imports(check):
                pair, decoder = self._loader(report)
                batch = self._make_batch(decoder, self.settings)
        except LookaheadError as error:
            logger.error("%s", error)  # whoever started it in a terminal asks no /health
            self.status = EngineStatus("failed", str(error))
            return
        except Exception as error:  # told by /health and to every request
            logger.exception("The models could not be loaded.")
            self.status = EngineStatus("failed", f"The models could not be loaded: {type(error).__name__}: {error}")
            return
        self.pair, self.decoder, self.batch, self.metrics = pair, decoder, batch, batch.metrics
        self.exactness = decoder.exactness()[0], decoder.row_widths
        self._warming = _first_work(decoder)
        self._unloaded = False
        self.are_used()
        self.status = EngineStatus("ready", f"{pair.name} is ready.")

    def renew_batch(self) -> None:
        """Another batch in the place of one that failed as a whole; what answers have read may be what it failed of."""
        self.drop_prefixes()
        if self.decoder is not None:
            self.batch = self._make_batch(self.decoder, self.settings)
            self.metrics = self.batch.metrics

    def are_used(self) -> None:
        """Somebody has just used them."""
        self._idle_since = time.monotonic()

    def let_go_where_due(self) -> None:
        """Free their memory where nobody has used them for long, or the machine has too little: of what answers have
        read at once, as one prompt brings it back, of the models where that was not enough."""
        if self.unloading is None or self.pair is None or self.decoder is None:
            return
        if self.decoder.prefix_stats().kept_bytes and self.unloading.scarce():
            self.decoder.drop_prefixes()
            self.unloading.free()
            logger.info("What answers had read was forgotten, as this machine is short of memory.")
            return
        if (reason := self.unloading.reason(time.monotonic() - self._idle_since)) is None:
            return
        self.let_go(reason)

    def let_go(self, reason: str) -> None:
        """Free their memory now; the `reason` is a part of a sentence."""
        if self.unloading is None or self.pair is None or self.decoder is None:
            return
        self._kept_stats, self._kept_ceiling = self.decoder.stats(), self.decoder.ceiling
        self.let_go_of_warming()
        self.pair, self.decoder, self.batch = self.unloading.strip(self.pair), None, None
        self.unloading.free()
        message = f"{self.pair.name} was unloaded, as {reason}: the next request loads it again."
        self.status = EngineStatus("ready", message)
        self._unloaded = True  # last: whoever sees that may rely on the rest
        logger.info(message)

    def expect(self, expectation: Expectation) -> None:
        """What `warm_up` shall have read for prompts to come, too; of a chat only what its newest answer brings."""
        others = [one for one in self._expectations if one.owner is None or one.owner != expectation.owner]
        self._expectations = [*others, expectation][-_MOST_EXPECTED:]

    def drop_prefixes(self) -> None:
        """Free the memory of what answers have read."""
        if self.decoder:
            self.decoder.drop_prefixes()

    def forget_prefixes(self, owner: str | None = None) -> None:
        """Forget what answers have read, also what earlier processes have left on the disk; with an `owner` only what
        was read for that chat."""
        self._expectations = [one for one in self._expectations if owner is not None and one.owner != owner]
        if self.decoder:
            self.decoder.forget_prefixes(owner)
        forget_on_disk(owner)

    def warm_up(self, is_wanted: Callable[[], bool]) -> None:
        """Go on with what the next answers would wait for, as long as it `is_wanted`."""
        try:
            for _ in chain(self._settle(), self._warming) if is_wanted() else ():
                if not is_wanted():
                    return
        except Exception as error:  # whatever it is, an answer will tell it to somebody
            if not isinstance(error, RankLostError):
                logger.warning("Warming up was given up.", exc_info=True)
            self.let_go_of_warming()

    def _settle(self) -> Iterator[None]:
        """Read what prompts to come will begin with. To find out what that is takes a while, too."""
        if self.decoder is None:
            return
        while self._expectations:
            expectation = self._expectations[-1]
            if texts := list(expectation.texts()):
                yield
                self.decoder.expect(*texts, owner=expectation.owner)
                yield from self.decoder.settle()
            if expectation in self._expectations:
                self._expectations.remove(expectation)
        yield from self.decoder.settle()

    def let_go_of_warming(self) -> None:
        """On the thread which owns the arrays of the step that it was given up in. What was expected holds the models,
        and goes too."""
        warming, self._warming, self._expectations = self._warming, iter(()), []
        if isinstance(warming, Generator):
            warming.close()


def _first_work(decoder: Decoder) -> Iterator[None]:
    """What is worth doing once, while nobody asks: what the first answers would wait for, and then what many at once
    cost."""
    yield from decoder.warm_up()
    yield from decoder.measure_wide()
