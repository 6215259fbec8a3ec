"""The chats themselves: listed, named, copied, deleted and brought back."""

import time
from collections.abc import Iterable

from app.engine.request import Settings
from app.store.records import Chat, settings_from_json, settings_to_json
from app.store.session import Session

COLUMNS = "chat.id, chat.title, chat.created_at, chat.updated_at, chat.settings"


class ChatTable:
    """Deleted chats are hidden, and go for good with `purge`: until then a deletion can be undone."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def all(self) -> list[Chat]:
        """All chats, the one changed last first."""
        query = f"SELECT {COLUMNS} FROM chat WHERE deleted_at IS NULL ORDER BY updated_at DESC, id DESC"
        return [chat_of(row) for row in self._session.read(query)]

    def deleted(self) -> list[Chat]:
        """Those that `purge` would remove."""
        query = f"SELECT {COLUMNS} FROM chat WHERE deleted_at IS NOT NULL ORDER BY id"
        return [chat_of(row) for row in self._session.read(query)]

    def get(self, chat_id: int) -> Chat | None:
        """One chat, None where there is none or it was deleted."""
        query = f"SELECT {COLUMNS} FROM chat WHERE id = ? AND deleted_at IS NULL"
        return next((chat_of(row) for row in self._session.read(query, (chat_id,))), None)

    def create(self, title: str, settings: Settings, created_at: float | None = None) -> Chat:
        """A new, empty chat."""
        now = time.time() if created_at is None else created_at
        statement = "INSERT INTO chat (title, created_at, updated_at, settings) VALUES (?, ?, ?, ?)"
        key = self._session.change(statement, (title, now, now, settings_to_json(settings)))
        return Chat(key, title, now, now, settings)

    def rename(self, chat_id: int, title: str) -> None:
        """Give it another title; its place in the list stays."""
        self._session.change("UPDATE chat SET title = ? WHERE id = ?", (title, chat_id))

    def save_settings(self, chat_id: int, settings: Settings) -> None:
        """Keep how its answers are made."""
        self._session.change("UPDATE chat SET settings = ? WHERE id = ?", (settings_to_json(settings), chat_id))

    def touch(self, chat_id: int, updated_at: float | None = None) -> None:
        """It changed: it goes to the top of the list."""
        now = time.time() if updated_at is None else updated_at
        self._session.change("UPDATE chat SET updated_at = ? WHERE id = ?", (now, chat_id))

    def delete(self, chat_ids: Iterable[int]) -> None:
        """Hide chats until `restore` or `purge`."""
        with self._session.changes() as connection:
            for chat_id in chat_ids:
                connection.execute("UPDATE chat SET deleted_at = ? WHERE id = ?", (time.time(), chat_id))

    def restore(self, chat_ids: Iterable[int]) -> None:
        """Bring deleted chats back."""
        with self._session.changes() as connection:
            for chat_id in chat_ids:
                connection.execute("UPDATE chat SET deleted_at = NULL WHERE id = ?", (chat_id,))

    def purge(self) -> int:
        """Remove deleted chats for good; returns how many."""
        with self._session.changes() as connection:
            return connection.execute("DELETE FROM chat WHERE deleted_at IS NOT NULL").rowcount

    def copy(self, chat_id: int, title: str, through: Iterable[int] | None = None) -> Chat:
        """A copy with all messages and rounds, or only with those whose ids `through` names."""
        now = time.time()
        with self._session.changes() as connection:
            insert = """INSERT INTO chat (title, created_at, updated_at, settings)
                SELECT ?, ?, ?, settings FROM chat WHERE id = ?"""
            copy_id = connection.execute(insert, (title, now, now, chat_id)).lastrowid
            found = connection.execute("SELECT id, parent_id FROM message WHERE chat_id = ? ORDER BY id", (chat_id,))
            wanted = None if through is None else set(through)
            keys: dict[int, int] = {}
            for key, parent in found.fetchall():
                if wanted is None or key in wanted:
                    statement = """INSERT INTO message
                        (chat_id, parent_id, role, text, created_at, is_shown, attachments)
                        SELECT ?, ?, role, text, created_at, is_shown OR ?, attachments FROM message WHERE id = ?"""
                    values = (copy_id, keys.get(parent), wanted is not None, key)
                    keys[key] = connection.execute(statement, values).lastrowid or 0
            for old, new in keys.items():
                connection.execute(
                    """INSERT INTO answer SELECT ?, seed, state, model, finished, num_rounds FROM answer
                    WHERE message_id = ? AND state NOT IN ('waiting', 'streaming')""",
                    (new, old),
                )
                statement = "INSERT INTO rounds SELECT ?, first, packed FROM rounds WHERE message_id = ?"
                connection.execute(statement, (new, old))
        copied = self.get(copy_id or 0)
        assert copied is not None
        return copied


def chat_of(row: tuple) -> Chat:
    """A row of `COLUMNS` as a record."""
    key, title, created_at, updated_at, settings = row[:5]
    return Chat(int(key), str(title), float(created_at), float(updated_at), settings_from_json(settings))
