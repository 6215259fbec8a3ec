"""The database's shape, as steps: each brings it from the version before to its own. Never change one that shipped."""

import sqlite3
from collections.abc import Callable

Migration = Callable[[sqlite3.Connection], None]


def _m001_chats(connection: sqlite3.Connection) -> None:
    """Chats, their messages as a tree, and what an answer has beyond its text.

    `parent_id` does not cascade: a long chat would be a chain deeper than SQLite follows. The chat's own cascade
    takes all of it. `journal` holds the rounds of answers still open, one row an event, so that a killed
    program loses none; `rounds` holds them packed, some dozens a row, beginning with number `first`.
    """
    for statement in (
        """CREATE TABLE chat (
            id INTEGER PRIMARY KEY, title TEXT NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL,
            deleted_at REAL, settings TEXT NOT NULL DEFAULT '{}')""",
        "CREATE INDEX chat_by_update ON chat (updated_at)",
        """CREATE TABLE message (
            id INTEGER PRIMARY KEY, chat_id INTEGER NOT NULL REFERENCES chat ON DELETE CASCADE,
            parent_id INTEGER REFERENCES message DEFERRABLE INITIALLY DEFERRED,
            role TEXT NOT NULL CHECK (role IN ('user', 'assistant')), text TEXT NOT NULL, created_at REAL NOT NULL,
            is_shown INTEGER NOT NULL DEFAULT 1, attachments TEXT NOT NULL DEFAULT '[]')""",
        "CREATE INDEX message_by_chat ON message (chat_id)",
        "CREATE INDEX message_by_parent ON message (parent_id)",
        """CREATE TABLE answer (
            message_id INTEGER PRIMARY KEY REFERENCES message ON DELETE CASCADE, seed INTEGER NOT NULL,
            state TEXT NOT NULL, model TEXT NOT NULL DEFAULT '', finished TEXT,
            num_rounds INTEGER NOT NULL DEFAULT 0)""",
        "CREATE INDEX answer_open ON answer (state) WHERE state IN ('waiting', 'streaming')",
        """CREATE TABLE rounds (
            message_id INTEGER NOT NULL REFERENCES message ON DELETE CASCADE, first INTEGER NOT NULL,
            packed BLOB NOT NULL, PRIMARY KEY (message_id, first))""",
        """CREATE TABLE journal (
            id INTEGER PRIMARY KEY, message_id INTEGER NOT NULL REFERENCES message ON DELETE CASCADE,
            round TEXT, text TEXT)""",
        "CREATE INDEX journal_by_message ON journal (message_id)",
        "CREATE TABLE preset (name TEXT PRIMARY KEY, settings TEXT NOT NULL)",
        "CREATE TABLE note (name TEXT PRIMARY KEY, value TEXT)",
    ):
        connection.execute(statement)


def _m002_search(connection: sqlite3.Connection) -> None:
    """A full-text index over the messages, kept by triggers."""
    for statement in (
        """CREATE VIRTUAL TABLE message_fts USING fts5(
            text, content='message', content_rowid='id', tokenize='unicode61 remove_diacritics 2')""",
        """CREATE TRIGGER message_added AFTER INSERT ON message BEGIN
            INSERT INTO message_fts (rowid, text) VALUES (new.id, new.text); END""",
        """CREATE TRIGGER message_removed AFTER DELETE ON message BEGIN
            INSERT INTO message_fts (message_fts, rowid, text) VALUES ('delete', old.id, old.text); END""",
        """CREATE TRIGGER message_changed AFTER UPDATE OF text ON message BEGIN
            INSERT INTO message_fts (message_fts, rowid, text) VALUES ('delete', old.id, old.text);
            INSERT INTO message_fts (rowid, text) VALUES (new.id, new.text); END""",
        "INSERT INTO message_fts (rowid, text) SELECT id, text FROM message",
    ):
        connection.execute(statement)


MIGRATIONS: tuple[Migration, ...] = (_m001_chats, _m002_search)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database up to date, each step in a transaction of its own: a failed one leaves the step before."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number, step in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            step(connection)
            connection.execute(f"PRAGMA user_version = {number}")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
