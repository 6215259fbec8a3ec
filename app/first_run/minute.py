"""A bench of a minute: a few questions, each plainly and with a draft, and what that says of this machine."""

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from PySide6.QtCore import QObject, QTimer, Signal

from app.engine.problem import Problem
from app.engine.request import Settings, build_request
from app.look.resources import resources_folder
from app.speculation import RaceViewModel, Verdict

KINDS = ("chat", "code", "copy-edit")
SEED = 1
WARM_TOKENS, LEAST_TOKENS, MOST_TOKENS = 24, 24, 160
RACING_S = 45.0
"""What the races are sized for: with the warming and the prompts' reading they fill a minute."""
STEADY = 1.5
LIMIT_S = 100.0
"""A machine that is so slow has said enough."""


@dataclass(frozen=True, slots=True)
class Minute:
    """What came of it: the verdict of each kind that was raced."""

    verdicts: tuple[tuple[str, Verdict], ...]

    @property
    def plain_rate(self) -> float | None:
        """Tokens a second over all plain answers."""
        return self._rate([verdict.plain_rate for _, verdict in self.verdicts])

    @property
    def rate(self) -> float | None:
        """The same with drafts."""
        return self._rate([verdict.speculative_rate for _, verdict in self.verdicts])

    @property
    def ratio(self) -> float | None:
        """How much sooner it all came with drafts."""
        plain, ours = self.plain_rate, self.rate
        return ours / plain if ours and plain else None

    @property
    def is_steady(self) -> bool:
        """Whether plain decoding was about as fast each time. Where it was not, other work on the machine came between,
        and one figure says little; nor does a single answer."""
        rates = [verdict.plain_rate for _, verdict in self.verdicts if verdict.plain_rate]
        return len(rates) > 1 and max(rates) <= STEADY * min(rates)

    @property
    def difference(self) -> Verdict | None:
        """The first answer whose words were not the same on both sides, None where all were."""
        return next((verdict for _, verdict in self.verdicts if not verdict.is_equal), None)

    def _rate(self, rates: Sequence[float | None]) -> float | None:
        counts = [verdict.num_tokens for _, verdict in self.verdicts]
        seconds = sum(count / rate for count, rate in zip(counts, rates, strict=True) if rate)
        return sum(counts) / seconds if seconds and all(rates) else None


class MinuteBench(QObject):
    """Runs races one after the other with what the engine has loaded.

    The first race is short and does not count: it warms the engine, and tells how long the others may be.

    Signals:
        changed: it began, went on, ended or failed.
    """

    changed = Signal()

    def __init__(
        self, race: RaceViewModel, prompts: dict[str, str] | None = None, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._race = race
        self._prompts = prompts if prompts is not None else read_prompts()
        self._model, self._tokens, self._started = "", WARM_TOKENS, 0.0
        self._pending: list[str] = []
        self._verdicts: list[tuple[str, Verdict]] = []
        self.kind = ""
        """What is being raced, "" for the warming."""
        self.is_running = False
        self.minute: Minute | None = None
        self.problem: Problem | None = None
        self._limit = QTimer(self, singleShot=True, interval=round(LIMIT_S * 1000))
        self._limit.timeout.connect(self._end)
        race.decided.connect(self._on_decided)
        race.changed.connect(self._on_changed)

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        whole = len(self._prompts) + 1
        return 1 - (len(self._pending) + 1) / whole if self.is_running else 1.0

    def start(self, model: str) -> None:
        """Measure what `model` brings with its drafts; what was found before is forgotten."""
        self._model, self._tokens, self._started = model, WARM_TOKENS, monotonic()
        self._pending, self._verdicts = list(self._prompts), []
        self.kind, self.minute, self.problem = "", None, None
        self.is_running = bool(self._pending)
        self._limit.start()
        if self.is_running:
            self._ask(self._pending[0])
        self.changed.emit()

    def stop(self) -> None:
        """Give up; nothing is told of what was found so far."""
        if self.is_running:
            self.is_running = False
            self._limit.stop()
            self._race.stop()
            self.changed.emit()

    def _ask(self, kind: str) -> None:
        settings = Settings(temperature=0.0, max_tokens=self._tokens)
        messages = [{"role": "user", "content": self._prompts[kind]}]
        self._race.start(build_request(messages, self._model, settings, SEED))

    def _on_decided(self, verdict: Verdict) -> None:
        if not self.is_running:
            return
        if self.kind:
            self._verdicts.append((self.kind, verdict))
        elif rate := verdict.plain_rate:
            wished = round(rate * RACING_S / (2 * len(self._prompts)))
            self._tokens = max(LEAST_TOKENS, min(MOST_TOKENS, wished))
        if not self._pending or monotonic() - self._started > LIMIT_S:
            self._end()
            return
        self.kind = self._pending.pop(0)
        # Not from inside the signal of the race that has just ended.
        QTimer.singleShot(0, self, self._next)
        self.changed.emit()

    def _next(self) -> None:
        if self.is_running:
            self._ask(self.kind)

    def _on_changed(self) -> None:
        if self.is_running and self._race.problem is not None:
            self.problem = self._race.problem
            self._end()

    def _end(self) -> None:
        self.is_running = False
        self._limit.stop()
        self._race.stop()
        self.minute = Minute(tuple(self._verdicts)) if self._verdicts else None
        self.changed.emit()


def read_prompts(folder: Callable[[], Path | None] = resources_folder) -> dict[str, str]:
    """The first question of each kind, out of `resources/bench`; those that cannot be read are left out."""
    found: dict[str, str] = {}
    resources = folder()
    for kind in KINDS if resources is not None else ():
        try:
            table = tomllib.loads((resources / "bench" / f"{kind}.toml").read_text(encoding="utf-8"))
            found[kind] = str(table["prompts"][0]).strip()
        except (OSError, tomllib.TOMLDecodeError, LookupError, TypeError):
            continue
    return found
