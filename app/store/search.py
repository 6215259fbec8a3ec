"""Finds chats by words of their messages and titles."""

import re

from app.store.chats import COLUMNS, chat_of
from app.store.records import Hit
from app.store.session import Session

# Marks of Unicode's own that no text shows: around the words found.
MATCH_START, MATCH_END = "\u2068", "\u2069"
SNIPPET_WORDS = 14
AROUND_CHARS = 40

# Scripts without spaces between words: the index holds their runs whole, so a part is looked for letter by letter.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


class Search:
    """Looks through all chats that are not deleted."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, query: str, limit: int = 200) -> list[Hit]:
        """Chats with a message that has every word of `query`, begun words too, or whose title has it.

        Each chat once, the one changed last first.
        """
        wanted = query.strip()
        if not wanted:
            return []
        found = self._by_letters(wanted, limit) if _UNSPACED.search(wanted) else self._by_words(wanted, limit)
        hits = {hit.chat.id: hit for hit in reversed(found)}  # the newest message of each chat
        for hit in self._by_title(wanted, limit):
            hits.setdefault(hit.chat.id, hit)
        return sorted(hits.values(), key=lambda hit: -hit.chat.updated_at)[:limit]

    def _by_words(self, wanted: str, limit: int) -> list[Hit]:
        words = " ".join(f'"{word}"*' for word in re.findall(r"\w+", wanted))
        if not words:
            return []
        query = f"""SELECT {COLUMNS}, snippet(message_fts, 0, ?, ?, '…', ?), message.id FROM message_fts
            JOIN message ON message.id = message_fts.rowid JOIN chat ON chat.id = message.chat_id
            WHERE message_fts MATCH ? AND deleted_at IS NULL ORDER BY message.id DESC LIMIT ?"""
        rows = self._session.read(query, (MATCH_START, MATCH_END, SNIPPET_WORDS, words, limit * 5))
        return [Hit(chat_of(row), " ".join(str(row[5]).split()), int(row[6])) for row in rows]

    def _by_letters(self, wanted: str, limit: int) -> list[Hit]:
        query = f"""SELECT {COLUMNS}, text, message.id FROM message JOIN chat ON chat.id = chat_id
            WHERE text LIKE ? ESCAPE '\\' AND deleted_at IS NULL ORDER BY message.id DESC LIMIT ?"""
        rows = self._session.read(query, (_pattern(wanted), limit * 5))
        return [Hit(chat_of(row), _cut(str(row[5]), wanted), int(row[6])) for row in rows]

    def _by_title(self, wanted: str, limit: int) -> list[Hit]:
        query = f"SELECT {COLUMNS} FROM chat WHERE title LIKE ? ESCAPE '\\' AND deleted_at IS NULL LIMIT ?"
        return [Hit(chat_of(row)) for row in self._session.read(query, (_pattern(wanted), limit))]


def _pattern(wanted: str) -> str:
    return "%" + re.sub(r"([\\%_])", r"\\\1", wanted) + "%"


def _cut(text: str, wanted: str) -> str:
    """The surroundings of `wanted`, with the marks around it."""
    start = max(0, text.casefold().find(wanted.casefold()))
    end = start + len(wanted)
    before, after = text[max(0, start - AROUND_CHARS) : start], text[end : end + AROUND_CHARS]
    dots = ("…" if start > AROUND_CHARS else "", "…" if end + AROUND_CHARS < len(text) else "")
    return " ".join(f"{dots[0]}{before}{MATCH_START}{text[start:end]}{MATCH_END}{after}{dots[1]}".split())
