"""How a call is taken from the text of an answer while it is written: its name, its arguments, and where it is over."""

import json
import re
from typing import Final

_NAMED: Final = (
    r'\s*\{\s*"name"\s*:\s*(?P<quoted>"(?:[^"\\]|\\.)+")\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)'  # JSON's head
)
_HEAD: Final = re.compile(_NAMED, re.DOTALL)
_LISTED: Final = re.compile(rf"\s*\[{_NAMED}", re.DOTALL)
_WORD: Final = r'[^\s\[\]{}"]+'
_HEADED: Final = re.compile(rf"\s*(?P<name>{_WORD})\s*(?:\[CALL_ID\]\s*(?P<id>{_WORD})\s*)?\[ARGS\]\s*(?=\{{)")
_STRUCTURE: Final = re.compile(r'[{}\[\]"\\]')
_BEHIND_ELEMENT: Final = re.compile(r"\s*(?P<sign>[,\]])")


class WrittenCall:
    """Takes the text of the calls that a mark has begun, as it comes. Of this kind nothing is known before the mark
    that ends them, `end`; without one, before the answer's end.

    `name` and `own_id` are those of the call whose head was read last. `opened` stands before what is unread, where
    calls before it were told already.
    """

    opened = ""

    def __init__(self, end: str) -> None:
        self._end = end
        self.name, self.own_id = "", None
        self.is_over = False
        """Whether the arguments' object is closed."""
        self._depth, self._is_quoted, self._is_escaped = 0, False, False

    name: str
    own_id: str | None

    def head(self, text: str) -> str | None:
        """What of `text`, all that was written since the last call, stands behind a call's head; None where that is
        not whole yet, or is written in another way: then `section` is asked."""
        return None

    def take(self, text: str) -> tuple[str, str]:
        """The part of `text` that belongs to the arguments, and what stands behind their end."""
        at = 0
        if self._is_escaped and text:
            self._is_escaped, at = False, 1
        while (found := _STRUCTURE.search(text, at)) is not None:
            sign, at = found[0], found.end()
            if sign == '"':
                self._is_quoted = not self._is_quoted
            elif sign == "\\":
                self._is_escaped, at = at >= len(text), at + 1
            elif not self._is_quoted:
                self._depth += 1 if sign in "{[" else -1
                if self._depth == 0:
                    self.is_over = True
                    return text[:at], text[at:]
        return text, ""

    def behind(self, text: str) -> tuple[bool, str] | None:
        """Whether another call of these follows the arguments' end, and what stands behind that; None where `text` does
        not tell yet."""
        _, closed, rest = text.partition(self._end)
        return (False, rest) if closed else None

    def section(self, text: str) -> tuple[str, str, str] | None:
        """Calls that `head` cannot read, as a parser takes them, the mark behind them, and the rest; None where they
        are not over."""
        calls, closed, rest = text.partition(self._end) if self._end else (text, "", "")
        return (calls, closed, rest) if closed else None

    def _begin(self, name: str, own_id: str | None = None) -> None:
        self.name, self.own_id, self.is_over = name, own_id, False
        self._depth, self._is_quoted, self._is_escaped = 0, False, False


class JsonCall(WrittenCall):
    """A call is one object, `{"name": …, "arguments": {…}}`: told while it is written in this order."""

    def head(self, text: str) -> str | None:
        """See `WrittenCall.head`."""
        return self._head_of(_HEAD, text)

    def _head_of(self, pattern: re.Pattern[str], text: str) -> str | None:
        found = pattern.match(text)
        if found is None:
            return None
        try:
            self._begin(str(json.loads(found["quoted"])))
        except ValueError:
            return None
        return text[found.end() :]


class MistralCall(JsonCall):
    """No mark ends these calls: they are over where their JSON is. Either a list of such objects, or
    `name[ARGS]{…}`, with `[CALL_ID]id` before the arguments in some versions; of these each has a mark of its own."""

    def __init__(self, end: str) -> None:
        super().__init__(end)
        self._is_listed = False

    def head(self, text: str) -> str | None:
        """See `WrittenCall.head`."""
        if self.opened:
            return self._head_of(_HEAD, text)
        if (rest := self._head_of(_LISTED, text)) is not None:
            self._is_listed = True
            return rest
        if (found := _HEADED.match(text)) is not None:
            self._begin(found["name"], found["id"])
            return text[found.end() :]
        return None

    def behind(self, text: str) -> tuple[bool, str] | None:
        """See `WrittenCall.behind`."""
        if not self._is_listed:
            return False, text
        end = _closed(text, 1)
        sign = _BEHIND_ELEMENT.match(text, end) if end is not None else None
        if sign is None:
            return None
        self.opened = "["
        return sign["sign"] == ",", text[sign.end() :]

    def section(self, text: str) -> tuple[str, str, str] | None:
        """See `WrittenCall.section`."""
        if not self.opened and not text.lstrip().startswith("["):
            return None
        end = _closed(text, len(self.opened))
        return (text[:end], "", text[end:]) if end is not None else None


_KINDS: Final = {"json_tools": JsonCall, "mistral": MistralCall}


def written_call(kind: str, end: str) -> WrittenCall:
    """For a family, by mlx-lm's name of its parser, and the mark that ends its calls."""
    return _KINDS.get(kind, WrittenCall)(end)


def _closed(text: str, depth: int) -> int | None:
    """Where in JSON, at its beginning so deep inside of objects and lists, the outermost of them is over."""
    quoted, at = False, 0
    while (found := _STRUCTURE.search(text, at)) is not None:
        sign, at = found[0], found.end()
        if sign == '"':
            quoted = not quoted
        elif sign == "\\":
            at += 1
        elif not quoted:
            depth += 1 if sign in "{[" else -1
            if depth == 0:
                return at
    return None
