"""Prompt files that run, several at once where the engine does that, and what came of them."""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from PySide6.QtCore import QObject, Signal

from app.engine.client import EngineClient
from app.engine.pages.batch.records import OwnRequest
from app.engine.problem import Problem
from app.engine.protocol import Finished
from app.engine.request import Settings, build_request
from prompt_files import PromptFile, PromptFilesError
from prompt_files.results import Result

SEED_RANGE = 2**31
ItemState = Literal["waiting", "running", "done", "failed", "stopped"]


@dataclass(slots=True, eq=False)
class QueueItem:
    """One prompt with its values, and its answer as it grows. `seconds` counts from the request on."""

    prompt: PromptFile
    values: Mapping[str, str]
    state: ItemState = "waiting"
    answer: str = ""
    error: str = ""
    seed: int | None = None
    seconds: float | None = None
    finished: Finished | None = None

    def result(self) -> Result:
        """The row as it is exported. What waits or runs counts as stopped: it has no answer yet."""
        final, stats = self.finished, dict(self.finished.stats) if self.finished else {}
        return Result(
            file=str(self.prompt.path),
            title=self.prompt.title,
            state=self.state if self.state in ("done", "failed") else "stopped",
            answer=self.answer,
            error=self.error,
            finish_reason=final.finish_reason if final else "",
            seed=self.seed,
            prompt_tokens=final.prompt_tokens if final else None,
            completion_tokens=final.completion_tokens if final else None,
            seconds=None if self.seconds is None else round(self.seconds, 3),
            tokens_per_second=_rounded(stats.get("tokens_per_second"), 2),
            acceptance_rate=_rounded(stats.get("acceptance_rate"), 4),
        )


class QueueViewModel(QObject):
    """Runs items in order, goes on after one that fails, and waits for an engine that starts again.

    Up to `width` of them are asked at once. Rows stay in the order of the files, whichever answer comes first.

    Signals:
        items_added: rows came to the end.
        item_changed: the number of the row that has another state or more text.
        state_changed: it runs, or has stopped.
        finished: nothing waits any more.
    """

    items_added = Signal()
    item_changed = Signal(int)
    state_changed = Signal()
    finished = Signal()

    def __init__(
        self,
        make_client: Callable[[], EngineClient],
        model: Callable[[], str],
        settings: Callable[[], Settings],
        parent: QObject,
    ) -> None:
        """`make_client` gives a connection to the engine. `model` names what that serves, empty while it is not ready;
        `settings` are for what a file leaves open.
        """
        super().__init__(parent)
        self.items: list[QueueItem] = []
        self.is_running = False
        self._make_client, self._model, self._settings = make_client, model, settings
        self._width = 1
        self._lanes: list[_Lane] = []

    @property
    def width(self) -> int:
        """How many are asked at once."""
        return self._width

    def set_width(self, width: int) -> None:
        """The engine makes so many answers at once; what runs already goes on."""
        self._width = max(1, width)
        if self.is_running:
            self._next()

    def own_requests(self) -> list[OwnRequest]:
        """The answers under way."""
        busy = [(lane, lane.item) for lane in self._lanes]
        return [OwnRequest(lane.client.request_id, item.prompt.title, lane.stop) for lane, item in busy if item]

    @property
    def num_done(self) -> int:
        """How many have an answer."""
        return sum(item.state == "done" for item in self.items)

    @property
    def num_failed(self) -> int:
        """How many have an error."""
        return sum(item.state == "failed" for item in self.items)

    @property
    def can_resume(self) -> bool:
        """Whether something waits, was stopped or failed."""
        return not self.is_running and any(item.state != "done" for item in self.items)

    def results(self) -> list[Result]:
        """All rows, for an export."""
        return [item.result() for item in self.items]

    def add(self, prompts: Sequence[PromptFile], values: Mapping[str, str]) -> None:
        """Put prompts at the end and run them. `values` may hold more than one of them needs."""
        for prompt in prompts:
            names = {variable.name for variable in prompt.variables}
            self.items.append(QueueItem(prompt, {name: value for name, value in values.items() if name in names}))
        self.items_added.emit()
        self._run()

    def resume(self) -> None:
        """Run again what has no answer."""
        for number, item in enumerate(self.items):
            if item.state in ("failed", "stopped"):
                item.state, item.answer, item.error = "waiting", "", ""
                item.finished = item.seconds = None
                self.item_changed.emit(number)
        self._run()

    def stop(self) -> None:
        """Stop the answers under way and leave the rest; what arrived is kept."""
        for lane in self._lanes:
            lane.let_go()
        for number, item in enumerate(self.items):
            if item.state in ("running", "waiting"):
                item.state = "stopped"
                self.item_changed.emit(number)
        self._set_running(False)

    def clear(self) -> None:
        """Stop, and forget all rows."""
        self.stop()
        self.items.clear()
        self.items_added.emit()

    def on_engine_changed(self) -> None:
        """The engine may be ready now: go on where the queue waits for it."""
        if self.is_running:
            self._next()

    def _run(self) -> None:
        if not self.is_running:
            self._set_running(True)
        self._next()

    def _next(self) -> None:
        """Ask for as many as may run. Without an engine nothing happens: `on_engine_changed` goes on."""
        while self._model() and (lane := self._free_lane()) is not None:
            item = next((item for item in self.items if item.state == "waiting"), None)
            if item is None:
                break
            try:
                body = self._request(item)
            except PromptFilesError as error:
                item.state, item.error = "failed", str(error)
                self._tell(item)
                continue
            item.state = "running"
            self._tell(item)
            lane.run(item, body)
        if self.is_running and not any(item.state in ("waiting", "running") for item in self.items):
            self._set_running(False)
            self.finished.emit()

    def _free_lane(self) -> "_Lane | None":
        """One that runs nothing, made where there are fewer than may run."""
        if sum(lane.item is not None for lane in self._lanes) >= self._width:
            return None
        free = next((lane for lane in self._lanes if lane.item is None), None)
        if free is None:
            free = _Lane(self._make_client(), self)
            free.changed.connect(self._tell)
            free.ended.connect(self._on_ended)
            self._lanes.append(free)
        return free

    def _request(self, item: QueueItem) -> dict[str, Any]:
        """Raises MalformedPromptError."""
        text, system = item.prompt.filled(item.values)
        settings = settings_of(item.prompt, self._settings(), system)
        item.seed = settings.seed if settings.seed is not None else secrets.randbelow(SEED_RANGE)
        model = item.prompt.settings.pair or self._model()
        return build_request([{"role": "user", "content": text}], model, settings, item.seed)

    def _on_ended(self, item: QueueItem) -> None:
        self._tell(item)
        if self.is_running:
            self._next()

    def _tell(self, item: QueueItem) -> None:
        self.item_changed.emit(self.items.index(item))

    def _set_running(self, is_running: bool) -> None:
        self.is_running = is_running
        self.state_changed.emit()


class _Lane(QObject):
    """One connection, which carries one item after the other.

    Signals:
        changed: the QueueItem that has more text.
        ended: the QueueItem that is done, failed, or stopped by `stop`.
    """

    changed = Signal(object)
    ended = Signal(object)

    def __init__(self, client: EngineClient, parent: QObject) -> None:
        super().__init__(parent)
        self.item: QueueItem | None = None
        self.client = client
        self._started = 0.0
        client.text_arrived.connect(self._on_text)
        client.generation_finished.connect(self._on_finished)
        client.completed.connect(lambda: self._end("done"))
        client.failed.connect(self._on_failed)

    def run(self, item: QueueItem, body: Mapping[str, Any]) -> None:
        """Ask `body` for it."""
        self.item = item
        self._started = time.monotonic()
        self.client.ask(body)

    def stop(self) -> None:
        """Stop this answer alone; the queue goes on."""
        self.client.cancel()
        self._end("stopped")

    def let_go(self) -> None:
        """Stop, and tell nobody."""
        self.client.cancel()
        self.item = None

    def _on_text(self, text: str) -> None:
        if self.item is not None:
            self.item.answer += text
            self.changed.emit(self.item)

    def _on_finished(self, final: Finished) -> None:
        if self.item is not None:
            self.item.finished = final

    def _on_failed(self, problem: Problem) -> None:
        if self.item is not None:
            self.item.error = " ".join(filter(None, (problem.title, problem.advice)))
            self._end("failed")

    def _end(self, state: ItemState) -> None:
        item, self.item = self.item, None
        if item is not None:
            item.state = state
            item.seconds = time.monotonic() - self._started if item.finished else None
            self.ended.emit(item)


def settings_of(prompt: PromptFile, base: Settings, system: str | None) -> Settings:
    """The settings of `base` with those that the file asks for. A file stands alone: its system prompt or none."""
    asked = prompt.settings
    given = {"temperature": asked.temperature, "top_p": asked.top_p, "max_tokens": asked.max_tokens}
    given |= {"lookahead": asked.lookahead, "seed": asked.seed}
    return replace(base, system=system or "", **{name: value for name, value in given.items() if value is not None})


def _rounded(value: object, digits: int) -> float | None:
    return round(float(value), digits) if isinstance(value, int | float) else None
