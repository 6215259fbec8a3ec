"""The chats as the sidebar lists them: by date or as found, renamed, copied, deleted and brought back."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from PySide6.QtCore import QCoreApplication, QDate, QLocale, QObject, QTimer, Signal

from app.engine.problem import Problem
from app.store import Chat, Hit, Store, StoreError

translate = QCoreApplication.translate

SEARCH_PAUSE_MS = 120


@dataclass(frozen=True, slots=True)
class ChatGroup:
    """Chats under one heading. As found by a search each has its snippet."""

    heading: str
    hits: tuple[Hit, ...]


class ChatListViewModel(QObject):
    """Shared by all windows: what one does, the others show.

    Signals:
        changed: other chats, or in another order.
        deleted: the titles of chats just deleted, as a tuple; empty when that can no longer be undone.
        gone: the keys of chats whose deletion can no longer be undone, as a tuple.
        problem_raised: a Problem for the banner.
    """

    changed = Signal()
    deleted = Signal(object)
    gone = Signal(object)
    problem_raised = Signal(object)

    def __init__(self, store: Store, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._store = store
        self._query = ""
        self._undoable: tuple[Chat, ...] = ()
        self._search = QTimer(self, singleShot=True, interval=SEARCH_PAUSE_MS)
        self._search.timeout.connect(self.changed)

    @property
    def query(self) -> str:
        """What is looked for, empty for all chats."""
        return self._query

    @property
    def can_undo(self) -> bool:
        """Whether a deletion can be undone."""
        return bool(self._undoable)

    def look_for(self, query: str) -> None:
        """Show only chats in which `query` is found; `changed` follows when one stops typing."""
        if query.strip() != self._query:
            self._query = query.strip()
            self._search.start()

    def groups(self, today: date | None = None) -> list[ChatGroup]:
        """What to list, in order. `today` is the day by which the groups are named."""
        try:
            if self._query:
                hits = tuple(self._store.search.find(self._query))
                several = QCoreApplication.translate("ChatList", "{0} chats found").format(len(hits))
                heading = QCoreApplication.translate("ChatList", "1 chat found") if len(hits) == 1 else several
                return [ChatGroup(heading, hits)]
            return group_by_date(self._store.chats.all(), today or datetime.now().astimezone().date())
        except StoreError as error:
            self.problem_raised.emit(Problem(str(error), "", error.details))
            return []

    def rename(self, chat_id: int, title: str) -> None:
        """Give a chat another title; an empty one changes nothing."""
        if title.strip():
            self._do(lambda: self._store.chats.rename(chat_id, " ".join(title.split())))
        self.changed.emit()

    def duplicate(self, chat_id: int) -> Chat | None:
        """Copy a chat with all its alternatives and rounds."""
        chat = self._store.chats.get(chat_id)
        if chat is None:
            return None
        title = QCoreApplication.translate("ChatList", "{0} copy").format(chat.title)
        copies: list[Chat] = []
        self._do(lambda: copies.append(self._store.chats.copy(chat_id, title)))
        self.changed.emit()
        return copies[0] if copies else None

    def delete(self, chat_ids: tuple[int, ...]) -> None:
        """Delete chats; the last deletion can be undone while the window is open."""
        chats = tuple(chat for chat_id in chat_ids if (chat := self._store.chats.get(chat_id)) is not None)
        if chats and self._do(lambda: self._store.chats.delete(chat.id for chat in chats)):
            before, self._undoable = self._undoable, chats
            self.gone.emit(tuple(chat.cache_key for chat in before))
            self.changed.emit()
            self.deleted.emit(tuple(chat.title for chat in chats))

    def undo_delete(self) -> tuple[int, ...]:
        """Bring back what was deleted last; returns the ids."""
        chats, self._undoable = self._undoable, ()
        if not chats or not self._do(lambda: self._store.chats.restore(chat.id for chat in chats)):
            return ()
        self.changed.emit()
        self.deleted.emit(())
        return tuple(chat.id for chat in chats)

    def _do(self, change: Callable[[], object]) -> bool:
        try:
            change()
        except StoreError as error:
            self.problem_raised.emit(Problem(str(error), "", error.details))
            return False
        return True


def group_by_date(chats: list[Chat], today: date) -> list[ChatGroup]:
    """Chats, newest first, under Today, Yesterday, two spans of days, and then months."""
    groups: list[ChatGroup] = []
    for chat in chats:
        heading = _heading(datetime.fromtimestamp(chat.updated_at).astimezone().date(), today)
        if groups and groups[-1].heading == heading:
            groups[-1] = ChatGroup(heading, (*groups[-1].hits, Hit(chat)))
        else:
            groups.append(ChatGroup(heading, (Hit(chat),)))
    return groups


def _heading(day: date, today: date) -> str:
    if day >= today:
        return translate("ChatList", "Today")
    if day == today - timedelta(days=1):
        return translate("ChatList", "Yesterday")
    if day > today - timedelta(days=8):
        return translate("ChatList", "Previous 7 days")
    if day > today - timedelta(days=31):
        return translate("ChatList", "Previous 30 days")
    form = "MMMM" if day.year == today.year else "MMMM yyyy"
    return QLocale().toString(QDate(day.year, day.month, day.day), form)
