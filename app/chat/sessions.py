"""The chat that shows, and those beside it that are still answered."""

from collections.abc import Callable

from PySide6.QtCore import QObject, Signal

from app.chat.activity import ChatActivity
from app.chat.session import ChatSession
from app.engine.pages.batch.records import OwnRequest
from app.engine.problem import Problem
from app.store import Answer


class ChatSessions(QObject):
    """Of one window. A session with an answer under way is kept when another chat shows, until the store has it all.

    Signals:
        grew, prefill_shown, standing_shown, closed, problem_raised: those of the session that shows.
        changed: an answer of any of them began or ended.
        chats_changed, refused: those of all.
    """

    grew = Signal()
    prefill_shown = Signal(object)
    standing_shown = Signal(object)
    closed = Signal(object)
    problem_raised = Signal(object)
    changed = Signal()
    chats_changed = Signal()
    refused = Signal(object)

    def __init__(self, make: Callable[[QObject], ChatSession], activity: ChatActivity, parent: QObject) -> None:
        """`make` gives a session with an empty chat, a child of what it is given."""
        super().__init__(parent)
        self._make, self._activity = make, activity
        self._others: list[ChatSession] = []
        self.shown = self._new()

    @property
    def all(self) -> list[ChatSession]:
        """The one that shows, and then the others."""
        return [self.shown, *self._others]

    def own_requests(self) -> list[OwnRequest]:
        """The answers under way."""
        busy = [session for session in self.all if session.is_busy]
        return [OwnRequest(one.client.request_id, one.title, one.stop, one.chat_key) for one in busy]

    def stop(self) -> None:
        """Stop all answers, and keep what arrived."""
        for session in self.all:
            session.stop()
            session.recorder.catch_up()

    def lose(self, problem: Problem) -> None:
        """The engine is gone, and with it every answer under way."""
        for session in self.all:
            session.lose(problem)

    def leave(self) -> None:
        """Have a session show that is free for another chat. What is not over in this one goes on aside."""
        if not self.shown.is_settled:
            self._put_aside()
            self.shown = self._new()

    def take_up(self, chat_id: int) -> bool:
        """Show the session of a chat that was put aside; False where there is none."""
        found = next((one for one in self._others if one.chat is not None and one.chat.id == chat_id), None)
        if found is None:
            return False
        self._others.remove(found)
        self._put_aside()
        self.shown = found
        self._wire()
        self._drop_settled()
        return True

    def drop(self, session: ChatSession) -> None:
        """The chat of one aside is no more."""
        session.stop()
        if session in self._others:  # else its end took it off
            self._others.remove(session)
            session.deleteLater()

    def tell(self) -> None:
        """Tell which chats are being answered."""
        chats = [session.chat for session in self.all if session.is_busy]
        self._activity.set_answering(self, [chat.id for chat in chats if chat is not None])
        self.changed.emit()

    def _new(self) -> ChatSession:
        session = self.shown = self._make(self)
        session.chats_changed.connect(self.chats_changed)
        session.refused.connect(self.refused)
        session.closed.connect(self._on_closed)
        self._wire()
        return session

    def _wire(self) -> None:
        self.shown.grew.connect(self.grew)
        self.shown.prefill_shown.connect(self.prefill_shown)
        self.shown.standing_shown.connect(self.standing_shown)
        self.shown.problem_raised.connect(self._on_problem)

    def _put_aside(self) -> None:
        self.shown.grew.disconnect(self.grew)
        self.shown.prefill_shown.disconnect(self.prefill_shown)
        self.shown.standing_shown.disconnect(self.standing_shown)
        self.shown.problem_raised.disconnect(self._on_problem)
        self._others.append(self.shown)

    def _drop_settled(self) -> None:
        for session in [one for one in self._others if one.is_settled]:
            self.drop(session)

    def _on_closed(self, answer: Answer) -> None:
        session = next((one for one in self._others if one.newest is answer), None)
        if session is None:
            self.closed.emit(answer)
        else:
            if session.chat is not None and answer.state != "stopped":
                self._activity.ended(session.chat.id)
            self._drop_settled()
        self.tell()

    def _on_problem(self, problem: Problem) -> None:
        self.shown.problem_told()
        self.problem_raised.emit(problem)
