"""Chats as files: JSON, which can be read back with every alternative and round, and Markdown or plain text to read."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from app.store.conversation import Conversation
from app.store.records import (
    Chat,
    Message,
    attachments_from_json,
    finished_from_json,
    settings_from_json,
    settings_to_json,
)
from app.store.tables import Store
from app.store.tree import conversation_of

VERSION = 1
Form = Literal["markdown", "text", "json"]
FORMS: dict[str, Form] = {".md": "markdown", ".txt": "text", ".json": "json"}


def export_chats(store: Store, chat_ids: Sequence[int], form: Form) -> str:
    """The chats as one file's text, the one changed last first; no ids: all of them. Raises StoreError."""
    wanted = set(chat_ids)
    chats = [chat for chat in store.chats.all() if not wanted or chat.id in wanted]
    if form == "json":
        told = {"lookahead_chats": VERSION, "chats": [_as_object(store, chat) for chat in chats]}
        return json.dumps(told, ensure_ascii=False, indent=1) + "\n"
    write = _as_markdown if form == "markdown" else _as_text
    rule = "\n\n---\n\n" if form == "markdown" else f"\n\n{'=' * 72}\n\n"
    return rule.join(write(chat, conversation_of(store.messages.of(chat.id))) for chat in chats) + "\n"


def import_chats(store: Store, text: str) -> list[Chat]:
    """Add the chats of an export to the store; returns them.

    Raises ValueError, its message a sentence for people, where `text` is no such export; then nothing is added.
    """
    try:
        told = json.loads(text)
    except ValueError as error:
        raise ValueError(f"It is not valid JSON: {error}.") from None
    if not isinstance(told, dict) or not isinstance(told.get("chats"), list) or "lookahead_chats" not in told:
        raise ValueError("It is JSON, but not chats that Lookahead exported.")
    if told["lookahead_chats"] != VERSION:
        raise ValueError(f"It was exported by a newer Lookahead (form {told['lookahead_chats']}): update Lookahead.")
    added: list[Chat] = []
    try:
        for one in told["chats"]:
            added.append(_add(store, one))  # noqa: PERF401 - what was added before a fault is taken back
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        store.chats.delete(chat.id for chat in added)
        what = f"{type(error).__name__}: {error}"
        raise ValueError(f"Chat {len(added) + 1} of the file is not as Lookahead exports it ({what}).") from None
    return [found for chat in added if (found := store.chats.get(chat.id)) is not None]


def _as_object(store: Store, chat: Chat) -> dict[str, Any]:
    return {
        "title": chat.title,
        "created_at": chat.created_at,
        "updated_at": chat.updated_at,
        "settings": json.loads(settings_to_json(chat.settings)),
        "messages": [_message_as_object(store, message) for message in store.messages.of(chat.id)],
    }


def _message_as_object(store: Store, message: Message) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": message.id,
        "parent": message.parent_id,
        "role": message.role,
        "text": message.text,
        "created_at": message.created_at,
        "is_shown": message.is_shown,
    }
    if message.attachments:
        told["attachments"] = [asdict(one) for one in message.attachments]
    if message.answer is not None:
        answer = message.answer
        told["answer"] = {"seed": answer.seed, "state": answer.state, "model": answer.model}
        if answer.finished is not None:
            told["answer"]["finished"] = asdict(answer.finished)
        told["rounds"] = [json.loads(wire) for wire in store.messages.rounds(message.id)]
    return told


def _add(store: Store, told: dict[str, Any]) -> Chat:
    """Read all of a chat before anything of it is written."""
    settings = settings_from_json(json.dumps(told.get("settings", {})))
    title, created_at = str(told["title"]), float(told["created_at"])
    messages = [(one, int(one["id"]), one.get("parent")) for one in told["messages"]]
    for one, _, parent in messages:
        if one["role"] not in ("user", "assistant") or not isinstance(one["text"], str):
            raise ValueError(f"message {one['id']}")
        if one["role"] == "assistant" and parent is None:
            raise ValueError(f"message {one['id']} answers nothing")
    chat = store.chats.create(title, settings, created_at)
    try:
        keys: dict[int, int] = {}
        for one, number, parent in messages:
            keys[number] = _add_message(store, chat, one, None if parent is None else keys[int(parent)])
        for one, number, parent in messages:
            if one.get("is_shown", True):
                siblings = [keys[other] for _, other, its in messages if its == parent]
                store.messages.show(keys[number], siblings)
    except (AttributeError, KeyError, TypeError, ValueError):
        store.chats.delete([chat.id])
        raise
    store.chats.touch(chat.id, float(told.get("updated_at", created_at)))
    return chat


def _add_message(store: Store, chat: Chat, told: dict[str, Any], parent: int | None) -> int:
    created_at = float(told.get("created_at", chat.created_at))
    if told["role"] == "user":
        attachments = attachments_from_json(json.dumps(told.get("attachments", [])))
        return store.messages.add_question(chat.id, parent, told["text"], attachments, created_at)
    answer = told.get("answer", {})
    key = store.messages.add_answer(
        chat.id, parent or 0, int(answer.get("seed", 0)), str(answer.get("model", "")), created_at
    )
    wires = [json.dumps(one, separators=(",", ":")) for one in told.get("rounds", [])]
    state = answer.get("state") if answer.get("state") in ("finished", "stopped", "failed") else "failed"
    finished = finished_from_json(json.dumps(answer["finished"])) if answer.get("finished") else None
    store.messages.close(key, told["text"], state, wires, finished)
    return key


def _as_markdown(chat: Chat, conversation: Conversation) -> str:
    head = [f"# {chat.title}", f"*{_day(chat.created_at)}*"]
    if chat.settings.system:
        head.append(f"> {chat.settings.system}".replace("\n", "\n> "))
    for turn in conversation.turns:
        names = "".join(f"\n\n*Attached: {one.name}*" for one in turn.asked.attachments)
        head.append(f"## You\n\n{turn.question}{names}")
        head.append(f"## {turn.answer.model or 'Answer'}\n\n{turn.answer.text.strip()}")
    return "\n\n".join(head)


def _as_text(chat: Chat, conversation: Conversation) -> str:
    parts = [f"{chat.title}\n{_day(chat.created_at)}"]
    for turn in conversation.turns:
        names = "".join(f"\n[{one.name}]" for one in turn.asked.attachments)
        parts += [f"You:\n{turn.question}{names}", f"{turn.answer.model or 'Answer'}:\n{turn.answer.text.strip()}"]
    return "\n\n".join(parts)


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d")
