"""Keeps the open chat in the store while it grows, and tries again where the store refused."""

from collections.abc import Callable

from PySide6.QtCore import QCoreApplication, QObject, QTimer, Signal

from app.engine.problem import Problem
from app.engine.protocol import Round
from app.engine.request import Settings
from app.store import Answer, Chat, Conversation, Question, Store, StoreError, Versions

RETRY_MS = 3_000
PACKED_ROUNDS = 64
TITLE_CHARS = 60


class ChatRecorder(QObject):
    """Follows one conversation. What could not be kept stays in memory and is kept as soon as the store allows.

    Signals:
        chats_changed: the list of chats is another.
        refused: a Problem. Sent when the store begins to refuse.
    """

    chats_changed = Signal()
    refused = Signal(object)

    def __init__(self, store: Store, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.chat: Chat | None = None
        self._store = store
        self._conversation = Conversation()
        self._settings = Settings()
        self._unkept: set[Answer] = set()
        self._is_behind = False
        self._flush = QTimer(self, singleShot=True, interval=0)
        self._flush.timeout.connect(lambda: self._try(store.flush))
        self._retry = QTimer(self, interval=RETRY_MS)
        self._retry.timeout.connect(self.catch_up)

    @property
    def is_behind(self) -> bool:
        """Whether something waits to be kept."""
        return self._is_behind

    def follow(self, chat: Chat | None, conversation: Conversation, settings: Settings) -> None:
        """Keep another conversation from now on; `chat` is None for one that has no row yet."""
        self.catch_up()
        self.chat, self._conversation, self._settings = chat, conversation, settings
        self._unkept.clear()
        self._set_behind(False)

    def asked(self) -> None:
        """Something was added to the conversation's path."""
        self._try(self._add_missing)
        self.chats_changed.emit()

    def reopened(self, answer: Answer) -> None:
        """A closed answer is going to grow again."""
        if (key := answer.key) is not None:
            self._try(lambda: self._store.messages.reopen(key))

    def grew(self, answer: Answer, *, one: Round | None = None, text: str | None = None) -> None:
        """A round or a text was added to an open answer."""
        if (key := answer.key) is not None and not self._is_behind:
            wire = one.wire if one is not None else None
            if self._try(lambda: self._store.messages.append(key, wire=wire, text=text)):
                self._flush.start()
            if len(answer.rounds) - answer.num_rounds >= PACKED_ROUNDS:
                self._try(lambda: self._pack(key, answer))

    def closed(self, answer: Answer) -> None:
        """An answer ended."""
        self._unkept.add(answer)
        self.catch_up()
        self.chats_changed.emit()

    def shown(self, versions: Versions[Question] | Versions[Answer]) -> None:
        """Another version shows."""
        keys = [version.key for version in versions.all if version.key is not None]
        if versions.shown is not None and (key := versions.shown.key) is not None:
            self._try(lambda: self._store.messages.show(key, keys))

    def set_settings(self, settings: Settings) -> None:
        """The chat's answers are made in another way from now on."""
        self._settings = settings
        if (chat := self.chat) is not None:
            self._try(lambda: self._store.chats.save_settings(chat.id, settings))

    def catch_up(self) -> None:
        """Keep what is not kept yet."""
        if self._unkept or self._is_behind:
            self._try(self._add_missing)
        for answer in list(self._unkept):
            if self._is_behind or not self._try(lambda answer=answer: self._close(answer)):
                return
            self._unkept.discard(answer)

    def _add_missing(self) -> None:
        """Give a row to all that has none: the chat, and every question and answer."""
        if self._conversation.is_empty:
            return
        if self.chat is None:
            first = self._conversation.openings.all[0]
            self.chat = self._store.chats.create(title_of(first.text), self._settings)
        pending: list[tuple[int | None, Versions[Question]]] = [(None, self._conversation.openings)]
        while pending:
            parent, questions = pending.pop()
            for question in questions.all:
                if question.key is None:
                    question.key = self._store.messages.add_question(
                        self.chat.id, parent, question.text, question.attachments, question.created_at
                    )
                for answer in question.answers.all:
                    self._add_answer(self.chat.id, question.key, answer)
                    pending.append((answer.key, answer.follow_ups))

    def _add_answer(self, chat_id: int, question_key: int, answer: Answer) -> None:
        if answer.key is None:
            answer.key = self._store.messages.add_answer(
                chat_id, question_key, answer.seed, answer.model, answer.created_at
            )
            if not answer.is_open:
                self._unkept.add(answer)

    def _close(self, answer: Answer) -> None:
        if answer.key is None or self.chat is None:
            return
        first, state = answer.num_rounds, answer.state
        wires = [one.wire for one in answer.rounds[first:]]
        self._store.messages.close(answer.key, answer.text, state, wires, answer.finished, answer.seed, first)
        answer.num_rounds += len(wires)
        self._store.chats.touch(self.chat.id)

    def _pack(self, key: int, answer: Answer) -> None:
        """Put some rounds away while the answer grows: at the end of a long one there is little left to do."""
        wires = [one.wire for one in answer.rounds[answer.num_rounds :]]
        self._store.messages.pack_rounds(key, answer.num_rounds, wires)
        answer.num_rounds += len(wires)

    def _try(self, keep: Callable[[], object]) -> bool:
        try:
            keep()
        except StoreError as error:
            was_behind, _ = self._is_behind, self._set_behind(True)
            if not was_behind:
                self.refused.emit(Problem(str(error), "", error.details))
            return False
        self._set_behind(False)
        return True

    def _set_behind(self, is_behind: bool) -> None:
        self._is_behind = is_behind
        if is_behind != self._retry.isActive():
            self._retry.start() if is_behind else self._retry.stop()


def title_of(text: str) -> str:
    """A chat's first title: the beginning of its first question, cut between two words."""
    flat = " ".join(text.split())
    if len(flat) <= TITLE_CHARS:
        return flat or QCoreApplication.translate("ChatRecorder", "New chat")
    return flat[:TITLE_CHARS].rsplit(" ", 1)[0].rstrip(",.;:") + "…"
