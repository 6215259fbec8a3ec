"""An answer taken apart as it streams: what was thought, what is said, and which tools are called. Knows text only.

A marker may come in pieces: what may still become one is held back, so no piece of a marker ever counts as text. What
looks like a call and cannot be read as one is text after all, with its markers, as nothing that was said may be lost.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import uuid4

from mlx_spec.models.text.json_call import WrittenCall, written_call
from mlx_spec.models.text.options import Tool
from mlx_spec.models.text.reasoning import CLOSE, OPEN


@dataclass(frozen=True, slots=True)
class Content:
    """The next text of the answer itself. It begins behind so many characters of all that was written."""

    text: str
    begin: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The next text of what is thought; `begin` as Content has it."""

    text: str
    begin: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class ToolCallBegun:
    """Call number `index` of this answer, from 0, begins; its arguments follow. `id` is new, or the model's own."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolArguments:
    """The next text of the arguments of call `index`: together they are one JSON object, unless the answer was cut."""

    index: int
    text: str


Part = Content | Reasoning | ToolCallBegun | ToolArguments


@dataclass(frozen=True, slots=True)
class CallFormat:
    """How a model writes calls: between `begin` and `end` (perhaps empty), in what `parse` reads into a call or a list
    of calls, each `{"name", "arguments"}`, perhaps with an "id". `parse` raises what it likes. `kind` is the
    family's name at mlx-lm: of some, calls are told while they are written (see `WrittenCall`)."""

    begin: str
    end: str
    parse: Callable[[str, Sequence[Tool]], Any]
    kind: str = ""


def new_call_id() -> str:
    """A name for a call that no other has."""
    return f"call_{uuid4().hex[:24]}"


_Place = Literal["opening", "reasoning", "content", "call", "arguments", "behind"]
_SPACE: Final = " \t\r\n"


class AnswerParts:
    """Takes an answer's text as it comes, with its reasoning in `<think>…</think>`; gives its parts.

    Calls of `tools` are looked for where `calls` says how they are written, and no more than `most_calls` are told.
    An answer that goes on a begun one `is_begun`, and perhaps `is_thinking` there. White space around reasoning and
    calls is left out. Without `reasoning_apart`, reasoning is content, in its tags.
    """

    def __init__(
        self,
        calls: CallFormat | None = None,
        tools: Sequence[Tool] = (),
        *,
        most_calls: int | None = None,
        is_thinking: bool = False,
        is_begun: bool = False,
        reasoning_apart: bool = True,
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        self._calls = calls if tools else None
        self._tools, self._most_calls, self._new_id = tuple(tools), most_calls, new_id
        self._opens: _Place = "opening" if reasoning_apart else "content"  # where an answer begins, or goes on
        self._place: _Place = "content" if is_begun else self._opens
        if is_thinking and reasoning_apart:
            self._place = "reasoning"
        self._held = ""
        self._fed = 0  # characters so far
        self._trims = is_thinking and not is_begun
        """Whether white space that comes next is left out."""
        self._written: WrittenCall = written_call("", "")
        self.num_calls = 0
        """Calls that were told so far."""
        self._has_called = False
        self.thoughts: list[tuple[int, int]] = []
        """Where what was thought begins and ends, its tags included, in characters of all that was written: complete
        once the answer has ended."""
        self._thought_begins = 0

    def feed(self, text: str, *, ended: bool = False) -> list[Part]:
        """The parts that `text` completes; with `ended` all that is left, as nothing follows."""
        self._held += text
        self._fed += len(text)
        parts: list[Part] = []
        steps: dict[_Place, Callable[[list[Part], bool], bool]] = {
            "opening": self._open,
            "reasoning": self._reason,
            "content": self._say,
            "call": self._call,
            "arguments": self._tell_arguments,
            "behind": self._close,
        }
        while steps[self._place](parts, ended):  # each step takes something off the held text, or is the last
            pass
        return parts

    def has_called(self, text: str) -> bool:
        """Whether a call is over, now that `text` follows: what comes behind it is no part of it."""
        self.feed(text)
        return self._has_called

    def _open(self, parts: list[Part], ended: bool) -> bool:
        begun = self._held.lstrip(_SPACE)
        if begun.startswith(OPEN):
            self._thought_begins = self._fed - len(begun)
            self._held, self._place, self._trims = begun.removeprefix(OPEN), "reasoning", True
            return True
        if OPEN.startswith(begun) and not ended:
            return False
        self._place = "content"
        return True

    def _reason(self, parts: list[Part], ended: bool) -> bool:
        thought, closed, rest = self._held.partition(CLOSE)
        if not closed and not ended:
            thought, rest = _apart(thought, CLOSE)
        begin = self._fed - len(self._held)
        if self._trims:
            begin += len(thought) - len(thought.lstrip(_SPACE))
            thought = thought.lstrip(_SPACE)
        told = thought.rstrip(_SPACE)
        self._held = rest if closed or ended else thought[len(told) :] + rest
        if told:
            parts.append(Reasoning(told, begin))
            self._trims = False
        if closed or ended:
            self.thoughts.append((self._thought_begins, self._fed - len(self._held)))
        if closed:
            self._place, self._trims = "content", True
        return bool(closed)

    def _say(self, parts: list[Part], ended: bool) -> bool:
        if self._trims:
            self._held = self._held.lstrip(_SPACE)
        said, begun, rest, begin = self._held, "", "", self._fed - len(self._held)
        if self._calls is not None:
            said, begun, rest = said.partition(self._calls.begin)
            if not begun and not ended:
                said, rest = _apart(said, self._calls.begin)
            told = said.rstrip(_SPACE)
            if not begun and not ended:
                rest = said[len(told) :] + rest
            if begun or not ended:
                said = told
        if said:
            parts.append(Content(said, begin))
            self._trims = False
        self._held = rest
        if begun and self._calls is not None:
            self._place, self._written = "call", written_call(self._calls.kind, self._calls.end)
        return bool(begun)

    def _call(self, parts: list[Part], ended: bool) -> bool:
        """A call is begun, and nothing of it is told."""
        assert self._calls is not None, "without a format nothing is a call"
        written = self._written
        if (rest := written.head(self._held)) is not None:
            self._begin(parts, written.name, written.own_id)
            self._held, self._place = rest, "arguments"
            return True
        mark = "" if written.opened else self._calls.begin
        begin = self._fed - len(self._held) - len(mark)
        section = written.section(self._held)
        if section is None and not ended:
            return False
        text, closed, rest = section or (self._held, "", "")
        self._held, self._place, self._trims = rest, self._opens, True
        try:
            found = _calls_of(self._calls.parse(written.opened + text, self._tools))
        except Exception:  # noqa: BLE001  # parsers raise what they like
            if mark or text.strip():
                parts.append(Content(mark + text + closed, begin))
            self._place, self._trims = "content", False
            return section is not None
        for name, arguments, own_id in found:
            self._begin(parts, name, own_id)
            self._argue(parts, arguments)
        self._has_called = True
        return section is not None

    def _tell_arguments(self, parts: list[Part], ended: bool) -> bool:
        told, self._held = self._written.take(self._held)
        self._argue(parts, told)
        if self._written.is_over:
            self._place = "behind"
        return self._written.is_over

    def _close(self, parts: list[Part], ended: bool) -> bool:
        """The arguments are told: what stands between them and the next call, or the end of all, says nothing more."""
        behind = self._written.behind(self._held)
        if behind is None:
            return False
        is_more, self._held = behind
        self._has_called = True
        if is_more:
            self._place = "call"
        else:
            self._place, self._trims = self._opens, True
        return True

    def _begin(self, parts: list[Part], name: str, own_id: str | None = None) -> None:
        if self._most_calls is None or self.num_calls < self._most_calls:
            parts.append(ToolCallBegun(self.num_calls, own_id or self._new_id(), name))
        self.num_calls += 1

    def _argue(self, parts: list[Part], text: str) -> None:
        if text and (self._most_calls is None or self.num_calls <= self._most_calls):
            parts.append(ToolArguments(self.num_calls - 1, text))


def _apart(text: str, marker: str) -> tuple[str, str]:
    """`text`, and the end of it that may become `marker`."""
    for length in range(min(len(marker) - 1, len(text)), 0, -1):
        if marker.startswith(text[-length:]):
            return text[:-length], text[-length:]
    return text, ""


def _calls_of(parsed: Any) -> list[tuple[str, str, str | None]]:
    """Name, arguments as JSON and perhaps the id of each call that a parser found. Raises ValueError."""
    found = []
    for call in parsed if isinstance(parsed, list) else [parsed]:
        name, arguments, own_id = call["name"], call.get("arguments", {}), call.get("id")
        if isinstance(arguments, str):
            arguments = json.loads(arguments or "{}")
        if not isinstance(name, str) or not name or not isinstance(arguments, dict):
            raise ValueError("a call has a name, and an object of arguments")
        written = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
        found.append((name, written, own_id if isinstance(own_id, str) and own_id else None))
    if not found:
        raise ValueError("no call")
    return found
