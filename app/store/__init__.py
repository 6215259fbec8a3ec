"""The chats: as a tree of questions and answers, and on disk in one SQLite database. Knows no widget.

`Conversation` is what shows of a chat, `Store` is what keeps them all; its records are frozen values.
"""

from app.store.conversation import (
    Answer,
    AnswerState,
    Attachment,
    Conversation,
    Question,
    Turn,
    Versions,
    messages_before,
)
from app.store.database import database_file
from app.store.exchange import FORMS, export_chats, import_chats
from app.store.presets import PresetTable
from app.store.records import AnswerRecord, Chat, Hit, Message, StoreError
from app.store.search import MATCH_END, MATCH_START
from app.store.tables import Store
from app.store.tree import conversation_of

__all__ = [
    "FORMS",
    "MATCH_END",
    "MATCH_START",
    "Answer",
    "AnswerRecord",
    "AnswerState",
    "Attachment",
    "Chat",
    "Conversation",
    "Hit",
    "Message",
    "PresetTable",
    "Question",
    "Store",
    "StoreError",
    "Turn",
    "Versions",
    "conversation_of",
    "database_file",
    "export_chats",
    "import_chats",
    "messages_before",
]
