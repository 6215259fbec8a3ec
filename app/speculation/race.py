"""A race: one prompt, answered plainly and then speculatively with the same seed, and the verdict on both."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Literal

from PySide6.QtCore import QObject, QTimer, Signal

from app.engine.client import EngineClient
from app.engine.pages.batch.records import OwnRequest
from app.engine.problem import Problem
from app.engine.protocol import Finished, Round
from app.speculation.tally import Tally
from app.speculation.trace import REPAINT_MS
from app.speculation.verdict import Verdict, judge

Side = Literal["plain", "speculative"]


class Lane:
    """One side of the race as it grows."""

    def __init__(self) -> None:
        self.text = ""
        self.rounds: list[Round] = []
        self.tally = Tally()
        self.is_strict = False

    def add(self, one: Round) -> None:
        """Count a round."""
        self.rounds.append(one)
        self.tally.add(one)


class RaceViewModel(QObject):
    """Runs one race at a time, on a connection of its own. Both sides ask for the same, but for the drafter.

    Signals:
        changed: a lane grew, or the race began, ended or failed; thirty times a second at most.
        decided: the Verdict.
    """

    changed = Signal()
    decided = Signal(object)

    def __init__(self, client: EngineClient, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.lanes: dict[Side, Lane] = {"plain": Lane(), "speculative": Lane()}
        self.running: Side | None = None
        self.verdict: Verdict | None = None
        self.problem: Problem | None = None
        self._client = client
        self._body: Mapping[str, Any] = {}
        self._repaint = QTimer(self, singleShot=True, interval=REPAINT_MS)
        self._repaint.timeout.connect(self.changed)
        client.round_finished.connect(self._on_round)
        client.text_arrived.connect(self._on_text)
        client.generation_finished.connect(self._on_finished)
        client.completed.connect(self._on_completed)
        client.failed.connect(self._on_failed)

    @property
    def rule(self) -> str:
        """The acceptance rule of the speculative side."""
        return str(self._body.get("speculation", {}).get("acceptance", "coupled"))

    def start(self, body: Mapping[str, Any]) -> None:
        """Race the request `body`, whose seed is set; a race under way is given up."""
        self.stop()
        self._body = body
        self.lanes = {"plain": Lane(), "speculative": Lane()}
        self.verdict, self.problem = None, None
        self._ask("plain")

    def start_again(self) -> None:
        """Race the same request once more."""
        self.start(self._body)

    def stop(self) -> None:
        """Give up."""
        if self.running is not None:
            self._client.cancel()
            self.running = None
            self.changed.emit()

    def own_requests(self) -> list[OwnRequest]:
        """The side that runs."""
        if self.running is None:
            return []
        return [OwnRequest(self._client.request_id, self.tr("Race"), self.stop)]

    def _ask(self, side: Side) -> None:
        self.running = side
        body = deepcopy(dict(self._body))
        speculation = body.setdefault("speculation", {})
        # Looking for alternatives takes its time, and not the same on both sides.
        speculation["alternatives"] = 0
        if side == "plain":
            speculation["drafter"] = "none"
        elif speculation.get("drafter") == "none":
            speculation["drafter"] = "auto"
        self.changed.emit()
        self._client.ask(body)

    def _on_round(self, one: Round) -> None:
        if self.running is not None:
            self.lanes[self.running].add(one)
            self._soon()

    def _on_text(self, text: str) -> None:
        if self.running is not None:
            self.lanes[self.running].text += text
            self._soon()

    def _on_finished(self, final: Finished) -> None:
        if self.running is not None:
            self.lanes[self.running].is_strict = final.is_strict

    def _on_completed(self) -> None:
        if self.running == "plain":
            self._ask("speculative")
        elif self.running == "speculative":
            self.running = None
            plain, ours = self.lanes["plain"], self.lanes["speculative"]
            is_strict = plain.is_strict and ours.is_strict
            self.verdict = judge(plain.rounds, ours.rounds, self.rule, is_strict=is_strict)
            self.changed.emit()
            self.decided.emit(self.verdict)

    def _on_failed(self, problem: Problem) -> None:
        self.running, self.problem = None, problem
        self.changed.emit()

    def _soon(self) -> None:
        if not self._repaint.isActive():
            self._repaint.start()
