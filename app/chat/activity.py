"""Which chats are being answered, and which were answered while nobody looked."""

from collections.abc import Iterable

from PySide6.QtCore import QObject, Signal


class ChatActivity(QObject):
    """Shared by all windows, by the chats' ids.

    Signals:
        changed: another chat is answering, or has been read.
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._answering: dict[QObject, frozenset[int]] = {}
        self._unread: set[int] = set()

    @property
    def answering(self) -> frozenset[int]:
        """The chats that are being answered, in whichever window."""
        return frozenset().union(*self._answering.values())

    @property
    def unread(self) -> frozenset[int]:
        """The chats whose answer ended while another chat showed, and that were not opened since."""
        return frozenset(self._unread)

    def set_answering(self, whose: QObject, chat_ids: Iterable[int]) -> None:
        """These, and no others, are being answered for one window."""
        now = frozenset(chat_ids)
        if now != self._answering.pop(whose, frozenset()):
            self._answering |= {whose: now} if now else {}
            self.changed.emit()
        elif now:
            self._answering[whose] = now

    def ended(self, chat_id: int) -> None:
        """An answer ended that nobody looked at."""
        if chat_id not in self._unread:
            self._unread.add(chat_id)
            self.changed.emit()

    def opened(self, chat_id: int) -> None:
        """Somebody looks at it."""
        if chat_id in self._unread:
            self._unread.discard(chat_id)
            self.changed.emit()
