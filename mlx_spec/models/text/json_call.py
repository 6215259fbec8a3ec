"""A call written as one JSON object, `{"name": …, "arguments": {…}}`, told while it is written."""

import json
import re
from typing import Final

_HEAD: Final = re.compile(
    r'\s*\{\s*"name"\s*:\s*(?P<name>"(?:[^"\\]|\\.)+")\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)', re.DOTALL
)
_STRUCTURE: Final = re.compile(r'[{}\[\]"\\]')


class JsonCall:
    """Takes the text of a call as it comes. `name` is known once it is written, with what stands before the arguments;
    the arguments are told as they were written. What is written in another order is no such call: it stays `unread`."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.is_over = False
        """Whether the arguments' object is closed."""
        self._depth, self._is_quoted, self._is_escaped = 0, False, False

    def head(self, text: str) -> str | None:
        """What of `text`, all that was written of the call so far, stands behind its head; None where that is not
        whole yet, or is none."""
        found = _HEAD.match(text)
        if found is None:
            return None
        try:
            self.name = str(json.loads(found["name"]))
        except ValueError:
            return None
        return text[found.end() :]

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
