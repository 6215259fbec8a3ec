"""Questions and answers: added, shown, and answers kept while they grow."""

import time
import zlib
from collections.abc import Iterable, Sequence

from app.engine.protocol import Finished
from app.store.conversation import AnswerState, Attachment
from app.store.records import (
    AnswerRecord,
    Message,
    attachments_from_json,
    attachments_to_json,
    finished_from_json,
    finished_to_json,
)
from app.store.session import Session

_COLUMNS = """message.id, chat_id, parent_id, role, text, created_at, is_shown, attachments,
    seed, state, model, finished, num_rounds"""


class MessageTable:
    """The messages of all chats. Every method keeps what it does at once, but for the two that say otherwise."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def of(self, chat_id: int) -> list[Message]:
        """The messages of a chat in the order they were added: a parent before its children."""
        query = f"""SELECT {_COLUMNS} FROM message LEFT JOIN answer ON message_id = message.id
            WHERE chat_id = ? ORDER BY message.id"""
        return [_message(row) for row in self._session.read(query, (chat_id,))]

    def add_question(
        self,
        chat_id: int,
        parent_id: int | None,
        text: str,
        attachments: tuple[Attachment, ...] = (),
        created_at: float | None = None,
    ) -> int:
        """Add a wording of a question and show it; returns its id."""
        return self._add(chat_id, parent_id, "user", text, attachments, created_at)

    def add_answer(
        self, chat_id: int, parent_id: int, seed: int, model: str = "", created_at: float | None = None
    ) -> int:
        """Add an answer that is about to come, and show it; returns its id."""
        key = self._add(chat_id, parent_id, "assistant", "", (), created_at)
        statement = "INSERT INTO answer (message_id, seed, state, model) VALUES (?, ?, 'waiting', ?)"
        self._session.change(statement, (key, seed, model))
        return key

    def append(self, message_id: int, *, wire: str | None = None, text: str | None = None) -> None:
        """Note a round or a text of an open answer; kept with the next `Store.flush`."""
        statement = "INSERT INTO journal (message_id, round, text) VALUES (?, ?, ?)"
        self._session.gather(statement, (message_id, wire, text))

    def reopen(self, message_id: int) -> None:
        """A closed answer is going to be continued."""
        self._session.change("UPDATE answer SET state = 'waiting' WHERE message_id = ?", (message_id,))

    def pack_rounds(self, message_id: int, first: int, wires: Sequence[str]) -> None:
        """Keep rounds from number `first` on for good, in place of their notes; kept with the next `Store.flush`."""
        self._session.gather("INSERT OR REPLACE INTO rounds VALUES (?, ?, ?)", (message_id, first, pack(wires)))
        self._session.gather("UPDATE journal SET round = NULL WHERE message_id = ?", (message_id,))

    def close(
        self,
        message_id: int,
        text: str,
        state: AnswerState,
        wires: Sequence[str],
        finished: Finished | None = None,
        seed: int | None = None,
        first: int = 0,
    ) -> None:
        """Keep an answer as it ended, in place of what was noted of it while it grew.

        `wires` are the rounds from number `first` on, where earlier ones were packed.
        """
        with self._session.changes() as connection:
            connection.execute("UPDATE message SET text = ? WHERE id = ?", (text, message_id))
            connection.execute(
                """UPDATE answer SET state = ?, finished = ?, num_rounds = ?, seed = coalesce(?, seed)
                WHERE message_id = ?""",
                (state, finished_to_json(finished), first + len(wires), seed, message_id),
            )
            if wires:
                connection.execute("INSERT OR REPLACE INTO rounds VALUES (?, ?, ?)", (message_id, first, pack(wires)))
            connection.execute("DELETE FROM journal WHERE message_id = ?", (message_id,))

    def show(self, message_id: int, siblings: Iterable[int]) -> None:
        """Show one of several alternatives."""
        with self._session.changes() as connection:
            for sibling in siblings:
                connection.execute("UPDATE message SET is_shown = ? WHERE id = ?", (sibling == message_id, sibling))

    def rounds(self, message_id: int) -> list[str]:
        """The rounds of an answer in order, each as the JSON the engine sent (`parse_round` reads it)."""
        query = "SELECT packed FROM rounds WHERE message_id = ? ORDER BY first"
        found = self._session.read(query, (message_id,))
        return [wire for (packed,) in found for wire in unpack(packed)]

    def recover(self) -> int:
        """Close answers that a killed program left open, with all that was noted of them; returns how many."""
        query = """SELECT message_id, text FROM answer JOIN message ON id = message_id
            WHERE state IN ('waiting', 'streaming')"""
        unfinished = self._session.read(query)
        for key, before in unfinished:
            noted = self._session.read("SELECT round, text FROM journal WHERE message_id = ? ORDER BY id", (key,))
            text = before + "".join(text for _, text in noted if text)
            wires = [wire for wire, _ in noted if wire]
            self.close(key, text, "failed", wires, first=len(self.rounds(key)))
        return len(unfinished)

    def _add(
        self,
        chat_id: int,
        parent_id: int | None,
        role: str,
        text: str,
        attachments: tuple[Attachment, ...],
        created_at: float | None,
    ) -> int:
        now = time.time() if created_at is None else created_at
        with self._session.changes() as connection:
            connection.execute(
                "UPDATE message SET is_shown = 0 WHERE chat_id = ? AND parent_id IS ?", (chat_id, parent_id)
            )
            statement = """INSERT INTO message (chat_id, parent_id, role, text, created_at, attachments)
                VALUES (?, ?, ?, ?, ?, ?)"""
            values = (chat_id, parent_id, role, text, now, attachments_to_json(attachments))
            return connection.execute(statement, values).lastrowid or 0


def pack(wires: Sequence[str]) -> bytes:
    """Rounds as compressed lines: a tenth of what the engine sent. Compact JSON holds no line break."""
    return zlib.compress("\n".join(wires).encode(), 6)


def unpack(packed: bytes) -> list[str]:
    """What `pack` was given."""
    return zlib.decompress(packed).decode().split("\n")


def _message(row: tuple) -> Message:
    key, chat_id, parent_id, role, text, created_at, is_shown, attachments = row[:8]
    seed, state, model, finished, num_rounds = row[8:]
    answer = None
    if role == "assistant":  # a salvaged one may have lost its other half
        answer = AnswerRecord(seed or 0, state or "failed", model or "", finished_from_json(finished), num_rounds or 0)
    kept = attachments_from_json(attachments) if attachments != "[]" else ()
    return Message(key, chat_id, parent_id, role, text, created_at, bool(is_shown), kept, answer)
