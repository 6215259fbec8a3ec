"""A Lark grammar as it is put together, in llguidance's dialect: text, special tokens, JSON, and text up to a mark."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from mlx_spec.decoding.constraints.wanted import styled

_ANY: Final = "(?s:.*)"


class Lark:
    """Rules and terminals under names of its own. `special` are tokens that are no text, by their names: where a text
    has such a name in it, the token is meant."""

    def __init__(self, special: Mapping[str, int]) -> None:
        self._special = special
        names = sorted(special, key=len, reverse=True)
        self._names = re.compile("|".join(map(re.escape, names))) if names else None
        self._lines: list[str] = []
        self._start = ""

    def __str__(self) -> str:
        return "\n".join([f"start: {self._start}", *self._lines]) + "\n"

    def start(self, body: str) -> None:
        """Where the grammar begins."""
        self._start = body

    def rule(self, body: str) -> str:
        """The name of a new rule."""
        name = f"r{len(self._lines)}"
        self._lines.append(f"{name}: {body}")
        return name

    def rule_to_come(self) -> str:
        """The name of a rule that is defined later, and may be in what defines it."""
        self._lines.append("")
        return f"r{len(self._lines) - 1}"

    def define(self, name: str, body: str) -> None:
        """Say what a rule is that was to come."""
        self._lines[int(name[1:])] = f"{name}: {body}"

    def terminal(self, body: str) -> str:
        """The name of a new terminal."""
        name = f"T{len(self._lines)}"
        self._lines.append(f"{name}: {body}")
        return name

    def text(self, text: str) -> str:
        """Just this text."""
        if not text:
            return '""'
        pieces, at = [], 0
        for found in self._names.finditer(text) if self._names is not None else ():
            pieces += [_quoted(text[at : found.start()]), f"<[{self._special[found[0]]}]>"]
            at = found.end()
        return " ".join(piece for piece in [*pieces, _quoted(text[at:])] if piece)

    def json(self, schema: Mapping[str, Any]) -> str:
        """JSON that is valid by `schema`."""
        return f"%json {json.dumps(styled(schema, 'one_space'), ensure_ascii=False)}"

    def up_to(self, mark: str, *never: str) -> str:
        """Any text, and the first `mark` behind it; a text that has none of `never` in it."""
        others = [_escaped(one) for one in never if one and one != mark and not self._begins_specially(one)]
        barred = f" & ~/{_ANY}({'|'.join(others)}){_ANY}/" if others else ""
        if self._begins_specially(mark):
            return f"{self.terminal(f'/{_ANY}/{barred}')} {self.text(mark)}"
        text = f"/{_ANY}{_escaped(mark)}/"
        body = self.terminal(text + barred) if others else text
        name = f"t{len(self._lines)}"  # it ends as soon as it can, which is said of rules only
        self._lines.append(f"{name}[lazy]: {body}")
        return name

    def without(self, mark: str) -> str:
        """Any text that has no `mark` in it."""
        if self._begins_specially(mark):
            return self.terminal(f"/{_ANY}/")
        return self.terminal(f"/{_ANY}/ & ~/{_ANY}{_escaped(mark)}{_ANY}/")

    def _begins_specially(self, mark: str) -> bool:
        return self._names is not None and self._names.match(mark) is not None


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if text else ""


def _escaped(text: str) -> str:
    """`text` in a regular expression between slashes. Rust's takes no escape of angles, of letters other ones."""
    plain = "<> _"
    escaped = (letter if letter.isalnum() or letter in plain or ord(letter) > 127 else f"\\{letter}" for letter in text)
    return "".join(escaped).replace("\\\n", "\\n")
