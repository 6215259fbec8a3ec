"""One answer under way: what arrives of it is added to it, kept, and traced where it is the one that shows."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from app.chat.recorder import ChatRecorder
from app.engine.client import EngineClient
from app.engine.problem import Problem
from app.engine.protocol import Finished, Prefill, Round, Standing
from app.speculation import TraceViewModel
from app.store import Answer, AnswerState

PREFILL_PATIENCE_MS = 300
ON = Standing("on")


class Answering(QObject):
    """Fills one Answer at a time from the engine's events.

    Signals:
        grew: text or a round was added to the answer.
        closed: the Answer that is finished, stopped or failed.
        prefill_shown: a Prefill, or None for "still reading, how far is unknown". Sent only when it takes a while.
            A prompt of which nothing is read yet counts as unknown, unless its beginning was known.
        standing_shown: a Standing: the answer has to wait for others, is set aside for them, or is on again.
        problem_raised: a Problem, after `closed`.
    """

    grew = Signal()
    closed = Signal(object)
    prefill_shown = Signal(object)
    standing_shown = Signal(object)
    problem_raised = Signal(object)

    def __init__(self, client: EngineClient, trace: TraceViewModel, recorder: ChatRecorder, parent: QObject) -> None:
        super().__init__(parent)
        self.answer: Answer | None = None
        self.problem: Problem | None = None
        """Why the last answer failed, until somebody takes it."""
        self._client, self._trace, self._recorder = client, trace, recorder
        self._patience = QTimer(self, singleShot=True, interval=PREFILL_PATIENCE_MS)
        self._patience.timeout.connect(self._on_patience_lost)
        self._newest: Prefill | None = None
        self.standing = ON
        client.prefill_progressed.connect(self._on_prefill)
        client.round_finished.connect(self._on_round)
        client.text_arrived.connect(self._on_text)
        client.standing_told.connect(self._on_standing)
        client.generation_finished.connect(self._on_finished)
        client.completed.connect(lambda: self._close("finished"))
        client.failed.connect(self._on_failed)

    def begin(self, answer: Answer, body: Mapping[str, Any]) -> None:
        """Ask the engine; what it tells goes into `answer`."""
        self.answer, self.problem = answer, None
        self._newest, self.standing = None, ON
        self._trace.show(answer)
        self._patience.start()
        self._client.ask(body)

    def end(self, state: AnswerState) -> None:
        """Ask for no more; what arrived is kept."""
        self._client.cancel()
        self._close(state)

    def tell_again(self) -> None:
        """Send once more how far the answer is: whoever shows it begins to look."""
        if self.answer is None:
            return
        if self.standing != ON:
            self.standing_shown.emit(self.standing)
        elif self.answer.state == "waiting" and not self._patience.isActive():
            newest = self._newest
            self.prefill_shown.emit(newest if newest and 0 < newest.processed_tokens < newest.total_tokens else None)

    def _on_standing(self, standing: Standing) -> None:
        if self.answer is None or standing == self.standing:
            return
        self.standing = standing
        self._patience.stop()
        self.standing_shown.emit(standing)

    def _on_prefill(self, progress: Prefill) -> None:
        self._on_standing(ON)
        self._newest = progress
        # Where it was only said that something is read, what is known is told as soon as the engine tells it.
        is_awaited = progress.cached_tokens > 0 and not self._patience.isActive()
        takes_long = progress.elapsed_ms > PREFILL_PATIENCE_MS or is_awaited
        if takes_long and progress.processed_tokens < progress.total_tokens:
            self._patience.stop()
            self.prefill_shown.emit(progress)

    def _on_patience_lost(self) -> None:
        """Where little is left to read it is read in one go, and nothing is told between the beginning and the end."""
        newest = self._newest
        tells = newest is not None and newest.cached_tokens > 0 and newest.processed_tokens < newest.total_tokens
        self.prefill_shown.emit(newest if tells else None)

    def _on_round(self, one: Round) -> None:
        if answer := self._streaming():
            numbered = replace(one, index=len(answer.rounds))  # a continued answer's begin anew with 0
            answer.rounds.append(numbered)
            self._recorder.grew(answer, one=numbered)
            if self._is_traced(answer):
                self._trace.add(numbered)
            self.grew.emit()

    def _on_text(self, text: str) -> None:
        if answer := self._streaming():
            answer.text += text
            self._recorder.grew(answer, text=text)
            self.grew.emit()

    def _on_finished(self, final: Finished) -> None:
        if answer := self.answer:
            answer.finished = final
            answer.seed = final.seed if final.seed is not None else answer.seed
            if self._is_traced(answer):
                self._trace.finish(final)

    def _on_failed(self, problem: Problem) -> None:
        self.problem = problem  # before it closes: whoever hears of that may ask why
        self._close("failed")
        self.problem_raised.emit(problem)

    def _is_traced(self, answer: Answer) -> bool:
        """Whether the panel shows it; else another chat does, and this one's rounds are read when one comes back."""
        return self._trace.answer is answer

    def _streaming(self) -> Answer | None:
        answer = self.answer
        self._on_standing(ON)
        if answer and answer.state == "waiting":
            self._patience.stop()
            answer.state = "streaming"
        return answer

    def _close(self, state: AnswerState) -> None:
        self._patience.stop()
        if answer := self.answer:
            self.answer = None
            answer.state = state
            self._recorder.closed(answer)
            if self._is_traced(answer):
                self._trace.end()
            self.closed.emit(answer)
