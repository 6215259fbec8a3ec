"""Copies what can still be read of a damaged database into a sound one."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

# Parents before children. The search index is made anew by the triggers.
TABLES = ("chat", "message", "answer", "rounds", "journal", "preset")


def copy_readable(damaged: Path, sound: sqlite3.Connection) -> int:
    """Copy every row that can be read and still has its parent; returns how many messages that were."""
    try:
        source = sqlite3.connect(f"file:{damaged}?mode=ro", uri=True)
    except sqlite3.Error:
        return 0
    with closing(source):
        source.text_factory = lambda raw: raw.decode("utf-8", "replace")
        sound.execute("PRAGMA foreign_keys = OFF")
        sound.execute("BEGIN")
        for table in TABLES:
            _copy_table(source, sound, table)
        _drop_orphans(sound)
        sound.execute("COMMIT")
        sound.execute("PRAGMA foreign_keys = ON")
    return int(sound.execute("SELECT count(*) FROM message").fetchone()[0])


def _copy_table(source: sqlite3.Connection, sound: sqlite3.Connection, table: str) -> None:
    known = [row[1] for row in sound.execute(f"PRAGMA table_info({table})")]
    try:
        names = [row[1] for row in source.execute(f"PRAGMA table_info({table})") if row[1] in known]
    except sqlite3.Error:
        return
    if not names:
        return
    insert = f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    for order in ("ASC", "DESC"):  # up to the damage from both sides
        for row in _rows(source, f"SELECT {', '.join(names)} FROM {table} ORDER BY rowid {order}"):
            try:
                sound.execute(insert, row)
            except sqlite3.IntegrityError:
                continue  # a row that is half noise


def _rows(source: sqlite3.Connection, query: str) -> Iterator[tuple[object, ...]]:
    """Rows until the damage."""
    try:
        yield from source.execute(query)
    except sqlite3.Error:
        return


def _drop_orphans(sound: sqlite3.Connection) -> None:
    """A message whose chat was lost gets a chat of its own; one whose parent was lost opens its chat."""
    sound.execute(
        """INSERT INTO chat (id, title, created_at, updated_at)
        SELECT DISTINCT chat_id, 'Recovered', created_at, created_at FROM message
        WHERE chat_id NOT IN (SELECT id FROM chat) GROUP BY chat_id"""
    )
    sound.execute("UPDATE message SET parent_id = NULL WHERE parent_id NOT IN (SELECT id FROM message)")
    for table in ("answer", "rounds", "journal"):
        sound.execute(f"DELETE FROM {table} WHERE message_id NOT IN (SELECT id FROM message)")
