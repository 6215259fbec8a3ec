"""A connection whose writes are transactions and whose refusals are sentences."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication

from app.store.records import StoreError

translate = QCoreApplication.translate

# Translated where something fails: statements are many, and seldom refused.
UNREAD = QT_TRANSLATE_NOOP("Store", "The chats could not be read.")
UNSAVED = QT_TRANSLATE_NOOP("Store", "The chat could not be saved.")
Row = tuple[object, ...]
Arguments = Sequence[object]

# While the window waits for a lock it stands still.
BUSY_MS = 200


class Session:
    """Everything the store does goes through here. Raises StoreError where SQLite refuses."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._is_gathering = False
        self.saw_damage = False
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")

    def read(self, query: str, arguments: Arguments = ()) -> list[tuple]:
        """All rows of a query."""
        with self._explained(UNREAD):
            return self._connection.execute(query, arguments).fetchall()

    @contextmanager
    def changes(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is kept, or nothing."""
        self.flush()
        with self._explained(UNSAVED):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # a full disk ends the transaction by itself
                    self._connection.execute("ROLLBACK")
                raise

    def change(self, statement: str, arguments: Arguments = ()) -> int:
        """One statement, kept at once; returns the new row's id."""
        with self.changes() as connection:
            return connection.execute(statement, arguments).lastrowid or 0

    def gather(self, statement: str, arguments: Arguments = ()) -> None:
        """One statement that is kept with the next `flush`: hundreds a second then cost one transaction a batch."""
        with self._explained(UNSAVED):
            if not self._is_gathering:
                self._connection.execute("BEGIN IMMEDIATE")
                self._is_gathering = True
            self._connection.execute(statement, arguments)

    def flush(self) -> None:
        """Keep what was gathered."""
        if self._is_gathering:
            self._is_gathering = False
            with self._explained(UNSAVED):
                try:
                    self._connection.execute("COMMIT")
                except sqlite3.Error:
                    with suppress(sqlite3.Error):
                        self._connection.execute("ROLLBACK")
                    raise

    def close(self) -> None:
        """Keep what was gathered, and let go of the file; one that is seen to be broken is checked when next opened."""
        with suppress(StoreError):
            self.flush()
            if not self.saw_damage:
                self.change("DELETE FROM note WHERE name = 'open'")
        self._connection.close()

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
            why = {
                sqlite3.SQLITE_BUSY: translate(
                    "Store", "Another program holds the database; close it, and it will be tried again."
                ),
                sqlite3.SQLITE_FULL: translate(
                    "Store", "There is no room on the disk; free some, and it will be tried again."
                ),
                sqlite3.SQLITE_READONLY: translate(
                    "Store", "The database cannot be written; look at the rights of its folder."
                ),
                sqlite3.SQLITE_CORRUPT: translate(
                    "Store", "The database is damaged; start Lookahead again to have it mended."
                ),
            }.get(code, translate("Store", "It will be tried again."))
            self.saw_damage |= code == sqlite3.SQLITE_CORRUPT
            told = f"{translate('Store', what)} {why}"
            raise StoreError(told, f"{type(error).__name__}: {error}") from error
