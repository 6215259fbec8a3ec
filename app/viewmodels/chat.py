"""The conversation as the window shows it, and what can be done with it."""

import secrets

from PySide6.QtCore import QObject, QTimer, Signal

from app.conversation import Answer, AnswerState, Conversation, Settings, Turn, build_request
from app.engine_client import EngineClient
from app.engine_process import EngineProcess, EngineState
from app.problem import Problem
from app.protocol import Finished, Prefill, Round
from app.viewmodels.trace import TraceViewModel

PREFILL_PATIENCE_MS = 300
SEED_RANGE = 2**31


class ChatViewModel(QObject):
    """Asks, stops and starts over; keeps every text that arrived, whatever happens to the engine.

    Signals:
        turn_added: the Turn just asked.
        answer_grew: text or a round was added to the open Answer.
        answer_closed: the Answer that is finished, stopped or failed.
        prefill_shown: a Prefill, or None for "still reading, how far is unknown". Sent only when it takes a while.
        turn_removed: the Turn that is asked again and leaves the view.
        cleared: the conversation is empty again.
        state_changed: what can be done now may have changed: the engine, its model, or whether an answer is under way.
        problem_raised: a Problem for the banner.
        problem_solved: the banner can go.
    """

    turn_added = Signal(object)
    answer_grew = Signal()
    answer_closed = Signal(object)
    prefill_shown = Signal(object)
    turn_removed = Signal(object)
    cleared = Signal()
    state_changed = Signal()
    problem_raised = Signal(object)
    problem_solved = Signal()

    def __init__(self, engine: EngineProcess, client: EngineClient, trace: TraceViewModel) -> None:
        super().__init__()
        self.conversation = Conversation()
        self.settings = Settings()
        self.model = ""
        self._lost: Problem | None = None
        self._engine, self._client, self._trace = engine, client, trace
        self._patience = QTimer(self, singleShot=True, interval=PREFILL_PATIENCE_MS)
        self._patience.timeout.connect(lambda: self.prefill_shown.emit(None))
        client.model_named.connect(self._on_model)
        client.prefill_progressed.connect(self._on_prefill)
        client.round_finished.connect(self._on_round)
        client.text_arrived.connect(self._on_text)
        client.generation_finished.connect(self._on_finished)
        client.completed.connect(lambda: self._close("finished"))
        client.failed.connect(self._on_failed)
        engine.address_changed.connect(client.set_address)
        engine.state_changed.connect(self._on_engine_state)
        engine.crashed.connect(self._on_engine_lost)
        engine.gave_up.connect(self._on_engine_lost)

    @property
    def open_answer(self) -> Answer | None:
        """The answer under way."""
        turns = self.conversation.turns
        return turns[-1].answer if turns and turns[-1].answer.is_open else None

    @property
    def is_busy(self) -> bool:
        """Whether an answer is under way."""
        return self.open_answer is not None

    def can_send(self, text: str) -> bool:
        """Whether `text` can be asked now."""
        is_ready = self._engine.state is EngineState.READY and bool(self.model)
        return bool(text.strip()) and not self.is_busy and is_ready

    def send(self, text: str) -> bool:
        """Ask `text`; returns False, and does nothing, where that is not possible now."""
        if not self.can_send(text):
            return False
        seed = self.settings.seed if self.settings.seed is not None else secrets.randbelow(SEED_RANGE)
        turn = Turn(text.strip(), Answer(seed))
        self.conversation.turns.append(turn)
        self.problem_solved.emit()
        self._trace.show(turn.answer)
        self.turn_added.emit(turn)
        self.state_changed.emit()
        self._patience.start()
        self._client.ask(build_request(self.conversation.messages(), self.model, self.settings, seed))
        return True

    def stop(self) -> None:
        """Stop the answer under way; what arrived is kept."""
        self._client.cancel()
        self._close("stopped")

    def ask_again(self) -> None:
        """Ask the last question again in place of its answer."""
        if self.conversation.turns and self.can_send(self.conversation.turns[-1].question):
            turn = self.conversation.turns.pop()
            self.turn_removed.emit(turn)
            self.send(turn.question)

    def start_over(self) -> None:
        """Begin an empty conversation."""
        self.stop()
        self.conversation = Conversation()
        self._trace.show(None)
        self.problem_solved.emit()
        self.cleared.emit()

    def restart_engine(self) -> None:
        """Start the engine again, ending it first where it still runs."""
        self.stop()
        self.problem_solved.emit()
        self._engine.stop()
        self._engine.start()

    def _on_model(self, name: str) -> None:
        self.model = name
        self.state_changed.emit()

    def _on_engine_state(self, state: EngineState) -> None:
        if state is EngineState.READY:
            self._client.fetch_model()
            self._tell_recovery()
        self.state_changed.emit()

    def _tell_recovery(self) -> None:
        """The engine is back after a crash: offer to ask again where an answer was lost."""
        lost, self._lost = self._lost, None
        if lost is not None and self.conversation.turns and self.conversation.turns[-1].answer.state == "failed":
            kept = "What arrived of the answer is kept."
            self.problem_raised.emit(Problem("The engine stopped and is running again.", kept, lost.details, "retry"))
        elif lost is not None:
            self.problem_solved.emit()

    def _on_prefill(self, progress: Prefill) -> None:
        if progress.elapsed_ms > PREFILL_PATIENCE_MS and progress.processed_tokens < progress.total_tokens:
            self._patience.stop()
            self.prefill_shown.emit(progress)

    def _on_round(self, one: Round) -> None:
        if answer := self._streaming():
            answer.rounds.append(one)
            self._trace.add(one)
            self.answer_grew.emit()

    def _on_text(self, text: str) -> None:
        if answer := self._streaming():
            answer.text += text
            self.answer_grew.emit()

    def _on_finished(self, final: Finished) -> None:
        if answer := self.open_answer:
            answer.finished = final
            answer.seed = final.seed if final.seed is not None else answer.seed
            self._trace.finish(final)

    def _on_failed(self, problem: Problem) -> None:
        self._close("failed")
        self.problem_raised.emit(problem)

    def _on_engine_lost(self, problem: Problem) -> None:
        self._lost = problem
        self._client.cancel()
        self._close("failed")
        self.problem_raised.emit(problem)

    def _streaming(self) -> Answer | None:
        answer = self.open_answer
        if answer and answer.state == "waiting":
            self._patience.stop()
            answer.state = "streaming"
        return answer

    def _close(self, state: AnswerState) -> None:
        self._patience.stop()
        if answer := self.open_answer:
            answer.state = state
            self.answer_closed.emit(answer)
            self.state_changed.emit()
