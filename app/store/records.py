"""What the store gives back: rows as frozen values, and their form in JSON columns."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from app.engine.protocol import Finished
from app.engine.request import Settings
from app.store.conversation import AnswerState, Attachment

Role = Literal["user", "assistant"]


class StoreError(Exception):
    """The database refused. The message says what was not kept; `details` is SQLite's own word for why."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


@dataclass(frozen=True, slots=True)
class Chat:
    """One line of the sidebar. Times are in seconds since 1970."""

    id: int
    title: str
    created_at: float
    updated_at: float
    settings: Settings = field(default_factory=Settings)

    @property
    def cache_key(self) -> str:
        """What the engine knows it by. A row's id may be another chat's once this one is gone, and another window's
        on a shared engine."""
        return f"lookahead-{self.id}-{self.created_at * 1000:.0f}"


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """What an assistant's message has beyond its text. The rounds are asked for one by one: `Store.rounds`."""

    seed: int
    state: AnswerState
    model: str = ""
    finished: Finished | None = None
    num_rounds: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """A question or an answer. Messages with the same parent and role are alternatives; `is_shown` tells which shows.

    `parent_id` is None for a question that opens its chat. `answer` is None for questions.
    """

    id: int
    chat_id: int
    parent_id: int | None
    role: Role
    text: str
    created_at: float
    is_shown: bool = True
    attachments: tuple[Attachment, ...] = ()
    answer: AnswerRecord | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A chat that a search found. `snippet` is the place, the words found between U+2068 and U+2069; empty: the title.

    `message_id` is None where only the title matched.
    """

    chat: Chat
    snippet: str = ""
    message_id: int | None = None


def settings_to_json(settings: Settings) -> str:
    """Only what differs from the defaults, so that later defaults reach old chats."""
    defaults = asdict(Settings())
    return json.dumps({name: value for name, value in asdict(settings).items() if value != defaults[name]})


def settings_from_json(text: str) -> Settings:
    """The settings in `text`; fields that this version does not know are left out."""
    known = {one.name for one in fields(Settings)}
    return Settings(**{name: value for name, value in _mapping(text).items() if name in known})


def attachments_to_json(attachments: tuple[Attachment, ...]) -> str:
    """A list of `{"name", "text"}`."""
    return json.dumps([asdict(one) for one in attachments])


def attachments_from_json(text: str) -> tuple[Attachment, ...]:
    """The attachments in `text`."""
    return tuple(Attachment(str(one["name"]), str(one["text"])) for one in json.loads(text))


def finished_to_json(finished: Finished | None) -> str | None:
    """All of it, the engine's own statistics too."""
    return None if finished is None else json.dumps(asdict(finished))


def finished_from_json(text: str | None) -> Finished | None:
    """The end of an answer, None where it has none."""
    if not text:
        return None
    known = {one.name for one in fields(Finished)}
    return Finished(**{name: value for name, value in _mapping(text).items() if name in known})


def _mapping(text: str) -> Mapping[str, Any]:
    value = json.loads(text)
    return value if isinstance(value, dict) else {}
