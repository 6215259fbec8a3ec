"""The open chat as the window shows it, and what can be done with it."""

import secrets
from collections.abc import Sequence
from dataclasses import replace

from PySide6.QtCore import QObject, Signal

from app.chat.answering import Answering
from app.chat.recorder import ChatRecorder
from app.chat.rounds import RoundsInMemory
from app.engine.client import EngineClient
from app.engine.problem import Problem
from app.engine.process import EngineProcess, EngineState
from app.engine.protocol import ProtocolError, Round
from app.engine.request import Settings, build_request
from app.speculation import TraceViewModel
from app.store import (
    Answer,
    Attachment,
    Chat,
    Conversation,
    Question,
    Store,
    StoreError,
    Turn,
    Versions,
    conversation_of,
)

SEED_RANGE = 2**31


class ChatViewModel(QObject):
    """Asks, stops, asks otherwise; keeps every text that arrived, whatever happens to the engine.

    Signals:
        turn_added: the Turn just asked at the path's end.
        path_changed: the turns that show are others: another chat, another version, or one less.
        answer_reopened: the closed Answer that grows again.
        answer_grew: text or a round was added to the open Answer.
        answer_closed: the Answer that is finished, stopped or failed.
        prefill_shown: a Prefill, or None for "still reading, how far is unknown". Sent only when it takes a while.
        cleared: the conversation is empty again.
        chat_opened: another chat is open, or the same with other settings.
        chats_changed: the list of chats is another.
        state_changed: what can be done now may have changed: the engine, its model, or whether an answer is under way.
        problem_raised: a Problem for the banner.
        problem_solved: the banner can go.
    """

    turn_added = Signal(object)
    path_changed = Signal()
    answer_reopened = Signal(object)
    answer_grew = Signal()
    answer_closed = Signal(object)
    prefill_shown = Signal(object)
    cleared = Signal()
    chat_opened = Signal()
    chats_changed = Signal()
    state_changed = Signal()
    problem_raised = Signal(object)
    problem_solved = Signal()

    def __init__(
        self, engine: EngineProcess, client: EngineClient, trace: TraceViewModel, store: Store | None = None
    ) -> None:
        """Without a `store` the chat is kept in memory only."""
        super().__init__()
        self.conversation = Conversation()
        self.model = ""
        self._settings = Settings()
        self._lost: Problem | None = None
        self._engine, self._client, self._trace = engine, client, trace
        self.store = store or Store(None)
        self._rounds = RoundsInMemory(self.store)
        self.recorder = ChatRecorder(self.store, self)
        self.recorder.follow(None, self.conversation, self._settings)
        self.recorder.chats_changed.connect(self.chats_changed)
        self.recorder.refused.connect(self.problem_raised)
        self._answering = Answering(client, trace, self.recorder, self)
        self._answering.grew.connect(self.answer_grew)
        self._answering.closed.connect(self._on_closed)
        self._answering.prefill_shown.connect(self.prefill_shown)
        self._answering.problem_raised.connect(self.problem_raised)
        client.model_named.connect(self._on_model)
        client.refused.connect(self.problem_raised)
        engine.address_changed.connect(client.set_address)
        engine.state_changed.connect(self._on_engine_state)
        engine.crashed.connect(self._on_engine_lost)
        engine.gave_up.connect(self._on_engine_lost)

    @property
    def chat(self) -> Chat | None:
        """The open chat's row, None before its first question."""
        return self.recorder.chat

    @property
    def title(self) -> str:
        """The open chat's title, empty before its first question."""
        return self.recorder.chat.title if self.recorder.chat else ""

    @property
    def settings(self) -> Settings:
        """How the answers of this chat are made."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        if settings != self._settings:
            self._settings = settings
            self.recorder.set_settings(settings)

    @property
    def open_answer(self) -> Answer | None:
        """The answer under way."""
        return self._answering.answer

    @property
    def is_busy(self) -> bool:
        """Whether an answer is under way."""
        return self.open_answer is not None

    @property
    def is_ready(self) -> bool:
        """Whether a question could be asked now."""
        return not self.is_busy and self._engine.state is EngineState.READY and bool(self.model)

    def can_send(self, text: str) -> bool:
        """Whether `text` can be asked now."""
        return bool(text.strip()) and self.is_ready

    def send(self, text: str, attachments: Sequence[Attachment] = ()) -> bool:
        """Ask `text` at the path's end; returns False, and does nothing, where that is not possible now."""
        if not self.is_ready or not (text.strip() or attachments):
            return False
        turn = self.conversation.ask(Question(text.strip(), tuple(attachments)), self._new_answer())
        self.turn_added.emit(turn)
        self._begin(turn.answer)
        return True

    def edit(self, turn: Turn, text: str) -> bool:
        """Ask another wording in place of a question of the path; the former wording and what followed it stay."""
        if not self.is_ready or not (text.strip() or turn.asked.attachments):
            return False
        question = Question(text.strip(), turn.asked.attachments)
        asked = self.conversation.ask_at(turn.siblings, question, self._new_answer())
        self.path_changed.emit()
        self._begin(asked.answer)
        return True

    def regenerate(self, turn: Turn) -> bool:
        """Ask the same again; the former answer stays as an alternative, unless it brought no word."""
        if not self.is_ready:
            return False
        answer = self._new_answer()
        turn.asked.answers.add(answer)
        self.path_changed.emit()
        self._begin(answer)
        return True

    def continue_answer(self) -> bool:
        """Let the newest answer go on where it was cut, stopped or interrupted, with its own seed."""
        turns = self.conversation.turns
        if not self.is_ready or not turns or not turns[-1].answer.can_continue:
            return False
        answer = turns[-1].answer
        self.load_rounds(answer)
        answer.state, answer.finished = "waiting", None
        self.recorder.reopened(answer)
        self.answer_reopened.emit(answer)
        self._begin(answer, continues=True)
        return True

    def ask_again(self) -> None:
        """Ask the last question again."""
        if turns := self.conversation.turns:
            self.regenerate(turns[-1])

    def show_version(self, versions: Versions[Question] | Versions[Answer], by: int) -> None:
        """Show the alternative `by` places further, and what followed it."""
        if not self.is_busy and versions.step(by):
            self.recorder.shown(versions)
            self.path_changed.emit()
            self._trace_newest()
            self.state_changed.emit()

    def stop(self) -> None:
        """Stop the answer under way; what arrived is kept."""
        self._answering.end("stopped")

    def start_over(self) -> None:
        """Begin an empty chat with the same settings; the one before is kept."""
        self.stop()
        self._show(None, Conversation(), replace(self._settings, seed=None))
        self.cleared.emit()

    def open_chat(self, chat_id: int) -> bool:
        """Open a chat of the store, stopping an answer under way; False where it is not there any more."""
        self.stop()
        try:
            chat = self.store.chats.get(chat_id)
            conversation = conversation_of(self.store.messages.of(chat_id)) if chat else None
        except StoreError as error:
            self.problem_raised.emit(Problem(str(error), "", error.details))
            return False
        if chat is None or conversation is None:
            return False
        self._show(chat, conversation, chat.settings)
        self.path_changed.emit()
        return True

    def refresh(self) -> None:
        """The chat may have been renamed or deleted elsewhere: take that over."""
        if (chat := self.recorder.chat) is None or self.recorder.is_behind:
            return
        try:
            found = self.store.chats.get(chat.id)
        except StoreError:
            return  # told by whatever is kept next
        if found is None:
            self.start_over()
        else:
            self.recorder.chat = found

    def branch(self, turn: Turn) -> bool:
        """Open a new chat that holds the path up to `turn`'s answer."""
        chat = self.chat
        self.recorder.catch_up()
        turns = self.conversation.turns
        path = turns[: 1 + next(index for index, one in enumerate(turns) if one.answer is turn.answer)]
        keys = [key for one in path for key in (one.asked.key, one.answer.key) if key is not None]
        if chat is None or self.is_busy or len(keys) < 2 * len(path):
            return False
        try:
            branched = self.store.chats.copy(chat.id, chat.title, keys)
        except StoreError as error:
            self.problem_raised.emit(Problem(str(error), "", error.details))
            return False
        self.chats_changed.emit()
        return self.open_chat(branched.id)

    def load_rounds(self, answer: Answer) -> Sequence[Round]:
        """The rounds of an answer, read from the store where they are not in memory."""
        try:
            self._rounds.load(answer)
        except (StoreError, ProtocolError) as error:
            details = getattr(error, "details", str(error))
            self.problem_raised.emit(Problem(self.tr("The rounds of this answer could not be read."), "", details))
        return answer.rounds

    def show_rounds(self, answer: Answer) -> None:
        """Show this answer's rounds in the panel and the footer."""
        self.load_rounds(answer)
        self._trace.show(answer)

    def follow_engine(self) -> None:
        """Take over how the engine is: it may have started before this window."""
        if self._engine.address is not None:
            self._client.set_address(self._engine.address)
        self._on_engine_state(self._engine.state)

    def restart_engine(self) -> None:
        """Start the engine again, ending it first where it still runs."""
        self.stop()
        self.problem_solved.emit()
        self._engine.stop()
        self._engine.start()

    def _new_answer(self) -> Answer:
        seed = self._settings.seed
        return Answer(secrets.randbelow(SEED_RANGE) if seed is None else seed, model=self.model)

    def _begin(self, answer: Answer, *, continues: bool = False) -> None:
        self.problem_solved.emit()
        self.recorder.asked()
        self._rounds.keep(answer)
        key = self.chat.cache_key if self.chat is not None else None
        body = build_request(self.conversation.messages(), self.model, self._settings, answer.seed, key)
        self._answering.begin(answer, body | {"continue_final_message": True} if continues else body)
        self.state_changed.emit()

    def _show(self, chat: Chat | None, conversation: Conversation, settings: Settings) -> None:
        self.conversation, self._settings = conversation, settings
        self.recorder.follow(chat, conversation, settings)
        self._rounds.forget()
        self._trace_newest()
        self.problem_solved.emit()
        self.chat_opened.emit()
        self.state_changed.emit()

    def _trace_newest(self) -> None:
        turns = self.conversation.turns
        if turns:
            self.show_rounds(turns[-1].answer)
        else:
            self._trace.show(None)

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
        turns = self.conversation.turns
        if lost is not None and turns and turns[-1].answer.state == "failed":
            kept = self.tr("What arrived of the answer is kept.")
            self.problem_raised.emit(
                Problem(self.tr("The engine stopped and is running again."), kept, lost.details, "retry")
            )
        elif lost is not None:
            self.problem_solved.emit()

    def _on_engine_lost(self, problem: Problem) -> None:
        self._lost = problem
        self._answering.end("failed")
        self.problem_raised.emit(problem)

    def _on_closed(self, answer: Answer) -> None:
        self.answer_closed.emit(answer)
        self.state_changed.emit()
