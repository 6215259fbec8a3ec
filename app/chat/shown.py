"""What can be done with the chat that a window shows, and with the others that are answered meanwhile."""

import secrets
from collections.abc import Sequence
from dataclasses import replace

from PySide6.QtCore import Signal

from app.chat.activity import ChatActivity
from app.chat.opened import OpenChat
from app.engine.client import EngineClient
from app.engine.problem import Problem
from app.engine.process import EngineProcess
from app.engine.protocol import ProtocolError, Round
from app.speculation import TraceViewModel
from app.store import (
    Answer,
    Attachment,
    Conversation,
    Question,
    Store,
    StoreError,
    Turn,
    Versions,
    conversation_of,
)

SEED_RANGE = 2**31


class ChatViewModel(OpenChat):
    """Asks, stops, asks otherwise; keeps every text that arrived, whatever happens to the engine.

    Another chat can be opened while an answer is under way: that goes on in a session of its own, and its chat takes it
    up again when it is opened. Signals about answers are those of the chat that shows.

    Signals:
        turn_added: the Turn just asked at the path's end.
        path_changed: the turns that show are others: another chat, another version, or one less.
        answer_reopened: the closed Answer that grows again.
        answer_grew: text or a round was added to the open Answer.
        answer_closed: the Answer that is finished, stopped or failed.
        prefill_shown: a Prefill, or None for "still reading, how far is unknown". Sent only when it takes a while.
        standing_shown: a Standing: the answer has to wait for others, or is on again.
        cleared: the conversation is empty again.
        chat_opened: another chat is open, or the same with other settings.
        chats_changed: the list of chats is another.
        state_changed: what can be done now may have changed: the engine, its model, or how the answer stands.
        problem_raised: a Problem for the banner.
        problem_solved: the banner can go.
    """

    turn_added = Signal(object)
    path_changed = Signal()
    answer_reopened = Signal(object)
    answer_grew = Signal()
    answer_closed = Signal(object)
    prefill_shown = Signal(object)
    standing_shown = Signal(object)
    cleared = Signal()
    chat_opened = Signal()
    chats_changed = Signal()
    state_changed = Signal()
    problem_raised = Signal(object)
    problem_solved = Signal()

    def __init__(
        self,
        engine: EngineProcess,
        client: EngineClient,
        trace: TraceViewModel,
        store: Store | None = None,
        activity: ChatActivity | None = None,
    ) -> None:
        """As an OpenChat."""
        super().__init__(engine, client, trace, store, activity)
        self._trace = trace
        self._connect()

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
        """Stop the answer under way in the open chat; what arrived is kept."""
        self.session.stop()

    def start_over(self) -> None:
        """Begin an empty chat with the same settings; the one before is kept, and its answer goes on."""
        settings = replace(self.settings, seed=None)
        self.sessions.leave()
        self.session.follow(None, Conversation(), settings)
        self._arrive()
        self.cleared.emit()

    def open_chat(self, chat_id: int) -> bool:
        """Open a chat of the store; an answer under way goes on. False where the chat is not there any more."""
        if self.chat is not None and self.chat.id == chat_id and self.is_busy:
            return True
        if not self.sessions.take_up(chat_id):
            try:
                chat = self.store.chats.get(chat_id)
                conversation = conversation_of(self.store.messages.of(chat_id)) if chat else None
            except StoreError as error:
                self.problem_raised.emit(Problem(str(error), "", error.details))
                return False
            if chat is None or conversation is None:
                return False
            self.sessions.leave()
            self.session.follow(chat, conversation, chat.settings)
        self._arrive()
        self.path_changed.emit()
        self.session.tell_again()
        return True

    def refresh(self) -> None:
        """Chats may have been renamed or deleted elsewhere: take that over."""
        for session in self.sessions.all:
            if (chat := session.chat) is None or session.recorder.is_behind:
                continue
            try:
                found = self.store.chats.get(chat.id)
            except StoreError:
                return  # told by whatever is kept next
            if found is not None:
                session.recorder.chat = found
            elif session is self.session:
                self.stop()
                self.start_over()
            else:
                self.sessions.drop(session)

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
            self.session.rounds.load(answer)
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
        self._served.follow()

    def restart_engine(self) -> None:
        """Start the engine again, ending it first where it still runs."""
        self.sessions.stop()
        self.problem_solved.emit()
        self._served.restart()

    def _new_answer(self) -> Answer:
        seed = self.settings.seed
        return Answer(secrets.randbelow(SEED_RANGE) if seed is None else seed, model=self.model)

    def _connect(self) -> None:
        served, sessions = self._served, self.sessions
        served.changed.connect(self.state_changed)
        served.lost.connect(self._on_lost)
        served.recovered.connect(self._on_recovered)
        served.refused.connect(self.problem_raised)
        sessions.grew.connect(self.answer_grew)
        sessions.closed.connect(self.answer_closed)
        sessions.prefill_shown.connect(self.prefill_shown)
        sessions.standing_shown.connect(self.standing_shown)
        sessions.standing_shown.connect(self.state_changed)
        sessions.changed.connect(self.state_changed)
        sessions.problem_raised.connect(self.problem_raised)
        sessions.refused.connect(self.problem_raised)
        sessions.chats_changed.connect(self.chats_changed)

    def _begin(self, answer: Answer, *, continues: bool = False) -> None:
        self.problem_solved.emit()
        self.session.begin(answer, self.model, continues=continues)
        self.sessions.tell()

    def _arrive(self) -> None:
        """The session shows another chat, or another session does."""
        self._trace_newest()
        self.problem_solved.emit()
        if self.chat is not None:
            self.activity.opened(self.chat.id)
        self.chat_opened.emit()
        self.sessions.tell()

    def _trace_newest(self) -> None:
        turns = self.conversation.turns
        if turns:
            self.show_rounds(turns[-1].answer)
        else:
            self._trace.show(None)

    def _on_recovered(self, lost: Problem) -> None:
        """The engine is back after a crash: offer to ask again where an answer was lost."""
        turns = self.conversation.turns
        if turns and turns[-1].answer.state == "failed":
            kept = self.tr("What arrived of the answer is kept.")
            self.problem_raised.emit(
                Problem(self.tr("The engine stopped and is running again."), kept, lost.details, "retry")
            )
        else:
            self.problem_solved.emit()

    def _on_lost(self, problem: Problem) -> None:
        self.sessions.lose(problem)
        self.session.problem_told()
        self.problem_raised.emit(problem)
