"""The chats on disk: one SQLite database in the data folder. Knows no Qt and no window.

`Store` is what the rest of the window uses; its records are frozen values.
"""

from app.store.records import AnswerRecord, Chat, Hit, Message, StoreError
from app.store.tables import Store

__all__ = ["AnswerRecord", "Chat", "Hit", "Message", "Store", "StoreError"]
