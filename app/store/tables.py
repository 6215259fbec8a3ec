"""The store: its tables over one database, open from the window's start to its end."""

from pathlib import Path

from app.store.chats import ChatTable
from app.store.database import BUSY_S, database_file, open_database
from app.store.messages import MessageTable
from app.store.presets import PresetTable
from app.store.search import Search
from app.store.session import Session


class Store:
    """The chats on disk. For one thread; a second program may have the file open, and waits for its turn to write.

    Raises StoreError, here and from everything it offers, where SQLite or the disk refuses.
    """

    def __init__(self, path: Path | None, *, busy_s: float = BUSY_S) -> None:
        """Open the database at `path`; None keeps everything in memory, and nothing when the program ends."""
        opened = open_database(path, busy_s)
        self.path = path
        self.damaged: Path | None = opened.moved_to
        self.num_saved = opened.num_saved
        self._session = Session(opened.connection)
        self.chats = ChatTable(self._session)
        self.messages = MessageTable(self._session)
        self.presets = PresetTable(self._session)
        self.search = Search(self._session)
        self.num_recovered = self.messages.recover()
        self.purged = tuple(self.chats.deleted())
        """What was left of deletions that could still be undone when the program ended, and is gone for good now."""
        self.chats.purge()

    @classmethod
    def default(cls) -> "Store":
        """The user's own chats."""
        return cls(database_file())

    @property
    def is_kept(self) -> bool:
        """Whether the chats outlive the program."""
        return self.path is not None

    def flush(self) -> None:
        """Keep what `messages.append` noted."""
        self._session.flush()

    def close(self) -> None:
        """Keep everything, forget deleted chats for good, and let go of the file."""
        self._session.close()
