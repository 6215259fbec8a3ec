"""Prompt files that run one after the other, and what came of them."""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from PySide6.QtCore import QObject, Signal

from app.engine.client import EngineClient
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
        self, client: EngineClient, model: Callable[[], str], settings: Callable[[], Settings], parent: QObject
    ) -> None:
        """`model` names what the engine serves, empty while it is not ready; `settings` are for what a file leaves."""
        super().__init__(parent)
        self.items: list[QueueItem] = []
        self.is_running = False
        self._client, self._model, self._settings = client, model, settings
        self._current: QueueItem | None = None
        self._started = 0.0
        client.text_arrived.connect(self._on_text)
        client.generation_finished.connect(self._on_finished)
        client.completed.connect(lambda: self._close("done"))
        client.failed.connect(self._on_failed)

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
        """Stop the answer under way and leave the rest; what arrived is kept."""
        self._client.cancel()
        for number, item in enumerate(self.items):
            if item.state in ("running", "waiting"):
                item.state = "stopped"
                self.item_changed.emit(number)
        self._current = None
        self._set_running(False)

    def clear(self) -> None:
        """Stop, and forget all rows."""
        self.stop()
        self.items.clear()
        self.items_added.emit()

    def on_engine_changed(self) -> None:
        """The engine may be ready now: go on where the queue waits for it."""
        if self.is_running and self._current is None:
            self._next()

    def _run(self) -> None:
        if not self.is_running:
            self._set_running(True)
            self._next()

    def _next(self) -> None:
        """Ask for the next one. Without an engine nothing happens: `on_engine_changed` goes on."""
        while self._model():
            item = next((item for item in self.items if item.state == "waiting"), None)
            if item is None:
                self._set_running(False)
                self.finished.emit()
                return
            try:
                body = self._request(item)
            except PromptFilesError as error:
                item.state, item.error = "failed", str(error)
                self._tell(item)
                continue
            self._current, item.state = item, "running"
            self._started = time.monotonic()
            self._tell(item)
            self._client.ask(body)
            return

    def _request(self, item: QueueItem) -> dict[str, Any]:
        """Raises MalformedPromptError."""
        text, system = item.prompt.filled(item.values)
        settings = settings_of(item.prompt, self._settings(), system)
        item.seed = settings.seed if settings.seed is not None else secrets.randbelow(SEED_RANGE)
        model = item.prompt.settings.pair or self._model()
        return build_request([{"role": "user", "content": text}], model, settings, item.seed)

    def _on_text(self, text: str) -> None:
        if self._current is not None:
            self._current.answer += text
            self._tell(self._current)

    def _on_finished(self, final: Finished) -> None:
        if self._current is not None:
            self._current.finished = final

    def _on_failed(self, problem: Problem) -> None:
        if self._current is not None:
            self._current.error = " ".join(filter(None, (problem.title, problem.advice)))
            self._close("failed")

    def _close(self, state: ItemState) -> None:
        item, self._current = self._current, None
        if item is not None:
            item.state = state
            item.seconds = time.monotonic() - self._started if item.finished else None
            self._tell(item)
            self._next()

    def _tell(self, item: QueueItem) -> None:
        self.item_changed.emit(self.items.index(item))

    def _set_running(self, is_running: bool) -> None:
        self.is_running = is_running
        self.state_changed.emit()


def settings_of(prompt: PromptFile, base: Settings, system: str | None) -> Settings:
    """The settings of `base` with those that the file asks for. A file stands alone: its system prompt or none."""
    asked = prompt.settings
    given = {"temperature": asked.temperature, "top_p": asked.top_p, "max_tokens": asked.max_tokens}
    given |= {"lookahead": asked.lookahead, "seed": asked.seed}
    return replace(base, system=system or "", **{name: value for name, value in given.items() if value is not None})


def _rounded(value: object, digits: int) -> float | None:
    return round(float(value), digits) if isinstance(value, int | float) else None
