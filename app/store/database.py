"""Opens the database file: found healthy, made new, or moved aside with what could be read of it saved."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path
from PySide6.QtCore import QCoreApplication

from app.store.migrations import MIGRATIONS, migrate
from app.store.records import StoreError
from app.store.salvage import copy_readable

translate = QCoreApplication.translate
BUSY_S = 2.0
SIDES = ("-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection that is up to date, and where a damaged file was moved, None where it was well."""

    connection: sqlite3.Connection
    moved_to: Path | None = None
    num_saved: int = 0


def database_file() -> Path:
    """`chats.sqlite3` in $LOOKAHEAD_HOME when that is set, else in the user's data folder."""
    home = os.environ.get("LOOKAHEAD_HOME")
    return (Path(home) if home else user_data_path("Lookahead", appauthor=False)) / "chats.sqlite3"


def open_database(path: Path | None, busy_s: float = BUSY_S) -> Opened:
    """Open the file at `path`, or a database in memory for None.

    A damaged file is moved aside, and what can be read of it is copied into a new one. Raises StoreError where another
    program holds the file, a newer version wrote it, or the disk refuses.
    """
    if path is None:
        connection = _connect(":memory:", busy_s)
        migrate(connection)
        return Opened(connection)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return Opened(_open_checked(path, busy_s))
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
        return _start_afresh(path, busy_s)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken, rather than held, full or out of reach."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _connect(place: str, busy_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(place, timeout=busy_s, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # with WAL: a killed program loses nothing
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _open_checked(path: Path, busy_s: float) -> sqlite3.Connection:
    connection = _connect(str(path), busy_s)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise StoreError(
                f"The chats in {path} were written by a newer Lookahead. They are untouched: update Lookahead.",
                f"database version {version}, this program knows up to {len(MIGRATIONS)}",
            )
        migrate(connection)
        if connection.execute("SELECT value FROM note WHERE name = 'open'").fetchone():
            _check(connection)  # the last run did not end by itself
        connection.execute("INSERT OR REPLACE INTO note VALUES ('open', '1')")
        connection.execute("SELECT count(*) FROM chat").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    if (found := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        error = sqlite3.DatabaseError(str(found))
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def _start_afresh(path: Path, busy_s: float) -> Opened:
    """Move the damaged file aside, and copy what can be read of it into a new one."""
    aside = path.with_name(f"{path.stem}-damaged-{time.strftime('%Y%m%d-%H%M%S')}{path.suffix}")
    for side in ("", *SIDES):
        with suppress(FileNotFoundError):
            Path(f"{path}{side}").rename(f"{aside}{side}")
    connection = _connect(str(path), busy_s)
    migrate(connection)
    num_saved = copy_readable(aside, connection)
    connection.execute("INSERT OR REPLACE INTO note VALUES ('open', '1')")
    return Opened(connection, aside, num_saved)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            message = translate("Store", "Another program holds the chats in {}. Close it and start Lookahead again.")
        elif code == sqlite3.SQLITE_FULL:
            message = translate(
                "Store", "There is no room on the disk for the chats in {}. Free some and start Lookahead again."
            )
        else:
            message = translate("Store", "The chats in {} cannot be opened. Look whether the folder can be written.")
        raise StoreError(message.format(path), f"{type(error).__name__}: {error}") from error
    except OSError as error:
        message = translate("Store", "The folder of the chats, {}, cannot be used. Look whether it can be written.")
        raise StoreError(message.format(path.parent), str(error)) from error
