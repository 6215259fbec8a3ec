"""Messages where a chat template has a place for them: what it would drop or refuse stands elsewhere, and that is told.

What a template has a place for is tried, once each, on conversations of a word or two.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

Message = Mapping[str, Any]
Says = Callable[[list[dict[str, Any]]], bool]
"""Whether the template takes these messages, and every `PROBE` in them is in what it writes."""

PROBE: Final = "Probe7Q"

MOVED_SYSTEM: Final = (
    "The model's chat template has no place for a system message: it stands before the first question."
)
MOVED_LATE: Final = (
    "The model's chat template has a place for a system message at the beginning only: those further on stand as "
    "questions, where they were."
)
JOINED_SYSTEM: Final = "The model's chat template has a place for one system message: they were made into one."
JOINED_TURNS: Final = (
    "The model's chat template wants the roles by turns: neighbours of one role were made into one message."
)


class Placing:
    """Places messages for one template, which `says` is asked about."""

    def __init__(self, says: Says) -> None:
        self._says = says
        self._known: dict[str, bool] = {}

    def placed(self, messages: Sequence[Message]) -> tuple[list[Message], list[str]]:
        """The messages as the template takes them, and a sentence for each way in which they were changed."""
        notes: list[str] = []
        placed = list(messages)
        if any(message["role"] == "system" for message in messages):
            placed = self._with_place_for_system(placed, notes)
        joined = self._by_turns(placed)
        if len(joined) < len(placed):
            notes.append(JOINED_TURNS)
        return joined, notes

    def _with_place_for_system(self, messages: list[Message], notes: list[str]) -> list[Message]:
        if not self._takes("system"):
            notes.append(MOVED_SYSTEM)
            return _before_the_question(messages)
        opening = next((i for i, message in enumerate(messages) if message["role"] != "system"), len(messages))
        if opening > 1 and not self._takes("two systems"):
            notes.append(JOINED_SYSTEM)
            messages = [_with_text_of(messages[:opening]), *messages[opening:]]
            opening = 1
        late = any(message["role"] == "system" for message in messages[opening:])
        if late and not self._takes("late system"):
            notes.append(MOVED_LATE)
            behind = [_as_question(message) for message in messages[opening:]]
            messages = [*messages[:opening], *behind]
        return messages

    def _by_turns(self, messages: list[Message]) -> list[Message]:
        """With neighbours of one role as one message, where the template does not take them apart."""
        joined: list[Message] = []
        for message in messages:
            role = message["role"]
            if joined and _are_alike(joined[-1], message) and not self._takes(f"two of {role}"):
                together = _together(joined[-1]["content"], message["content"])
                joined[-1] = {**joined[-1], "content": together}
            else:
                joined.append(message)
        return joined

    def _takes(self, what: str) -> bool:
        known = self._known.get(what)
        if known is None:
            # Kept only when known: another thread may ask meanwhile, and then finds out by itself. What says nothing
            # of a plain conversation of that kind cannot be judged.
            known = self._says_any(_PROBES[what]) or not self._says_any(_LIKE[what])
            self._known[what] = known
        return known

    def _says_any(self, messages: list[dict[str, Any]]) -> bool:
        return any(self._says(one) for one in in_every_shape(messages))


def in_every_shape(messages: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """A conversation with its contents as text, with those that say the probe in parts, and with all in parts."""

    def parts(text: str) -> list[dict[str, str]]:
        return [{"type": "text", "text": text}]

    def shaped(*, every: bool) -> list[dict[str, Any]]:
        return [
            message | {"content": parts(message["content"])} if every or message["content"] == PROBE else message
            for message in messages
        ]

    return [messages, shaped(every=False), shaped(every=True)]


def around(role: str, content: Any) -> list[dict[str, Any]]:
    """A conversation with a message of `role`, as templates expect one."""
    message = {"role": role, "content": content}
    if role == "system":
        return [message, _USER]
    if role == "assistant":
        return [_USER, message, _USER]
    return [message]


_USER: Final = {"role": "user", "content": "a"}
_SAID: Final = {"role": "assistant", "content": "a"}
_ASKS: Final = {"role": "user", "content": PROBE}
_TOLD: Final = {"role": "system", "content": PROBE}
_SAYS: Final = {"role": "assistant", "content": PROBE}
_PROBES: Final[dict[str, list[dict[str, Any]]]] = {
    "system": around("system", PROBE),
    "two systems": [_TOLD, _TOLD, _USER],
    "late system": [_USER, _SAID, _TOLD, _USER],
    "two of user": [_ASKS, _ASKS],
    "two of assistant": [_USER, _SAYS, _SAYS, _USER],
}
"""What shows that a template has a place for something."""
_LIKE: Final[dict[str, list[dict[str, Any]]]] = {
    "system": around("user", PROBE),
    "two systems": around("system", PROBE),
    "late system": [_USER, _SAID, _ASKS],
    "two of user": around("user", PROBE),
    "two of assistant": around("assistant", PROBE),
}
"""What it says like that in any case, where it says anything."""


def _are_alike(one: Message, other: Message) -> bool:
    """Whether two messages are turns of one speaker, and nothing but text."""
    roles = one["role"] == other["role"] and one["role"] in ("user", "assistant")
    return roles and not (one.get("tool_calls") or other.get("tool_calls"))


def _together(one: Any, other: Any) -> Any:
    if isinstance(one, str) and isinstance(other, str):
        return "\n\n".join(text for text in (one, other) if text)
    return [*_parts(one), *_parts(other)]


def _parts(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _with_text_of(messages: Sequence[Message]) -> Message:
    text = "\n\n".join(str(message["content"]) for message in messages)
    return dict(messages[0]) | {"content": text}


def _as_question(message: Message) -> Message:
    return dict(message) | {"role": "user"} if message["role"] == "system" else message


def _before_the_question(messages: Sequence[Message]) -> list[Message]:
    """The messages, with the text of all that are the system's before the first question."""
    system = "\n\n".join(str(message["content"]) for message in messages if message["role"] == "system")
    others: list[Message] = [dict(message) for message in messages if message["role"] != "system"]
    at = next((i for i, message in enumerate(others) if message["role"] == "user"), None)
    if at is None:
        return [{"role": "user", "content": system}, *others]
    first = others[at]
    asked = first["content"]
    before = f"{system}\n\n"
    content = before + asked if isinstance(asked, str) else [{"type": "text", "text": before}, *asked]
    others[at] = dict(first) | {"content": content}
    return others
