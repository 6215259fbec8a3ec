"""The `{{variables}}` of a prompt: what they are, where they stand, and putting values in their place."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from prompt_files.errors import MalformedPromptError
from prompt_files.front_matter import Entry

PLACEHOLDER: Final = re.compile(r"(\\?)\{\{[ \t]*([A-Za-z_][A-Za-z0-9_]*)[ \t]*\}\}")
_NAME: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_DETAILS: Final = ("label", "default", "choices", "lines")
_LONGEST_FIELD: Final = 40
_HEIGHT: Final = re.compile("[0-9]{1,3}")


@dataclass(frozen=True, slots=True)
class Variable:
    """One field to fill. `default` None: it must be filled. `lines` is the field's height, `choices` what it takes."""

    name: str
    label: str
    default: str | None = None
    choices: tuple[str, ...] = ()
    lines: int = 1


def label_of(name: str) -> str:
    """A variable's name as words."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:] if words else name


def placeholders(text: str) -> Iterator[tuple[str, int]]:
    """Names in the order of the text, with the lines they stand on, counted from 0. `\\{{this}}` is none."""
    for found in PLACEHOLDER.finditer(text):
        if not found[1]:
            yield found[2], text.count("\n", 0, found.start())


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put values in. Once: a value that holds `{{x}}` stays as it is."""
    return PLACEHOLDER.sub(lambda found: found[0][1:] if found[1] else values[found[2]], text)


def declared(entry: Entry, path: Path) -> list[tuple[Variable, int]]:
    """The variables of the front matter's `variables`, with their lines. Raises MalformedPromptError."""
    if isinstance(entry.value, list):
        return [(_variable(name, None, (), entry.line, path), entry.line) for name in entry.value]
    if isinstance(entry.value, dict):
        return [(_variable(one.key, one.value, one.entries, one.line, path), one.line) for one in entry.entries]
    raise wrong(path, entry.line, "variables", entry.value, "a list of names, or names with their defaults")


def wrong(path: Path, line: int, name: str, value: object, allowed: str) -> MalformedPromptError:
    """The error of a value of the wrong type."""
    text = repr(value)
    text = text if len(text) <= 60 else text[:59] + "…"
    return MalformedPromptError(f"{path.name}, line {line}: {name} is {text}, but must be {allowed}.", path, line)


def _variable(name: object, value: Any, details: tuple[Entry, ...], line: int, path: Path) -> Variable:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise wrong(path, line, "a variable's name", name, "letters, digits and _, as in my_text")
    if not isinstance(value, dict):
        return Variable(name, label_of(name), _text(value, line, f"the default of {name}", path))
    for one in details:
        if one.key not in _DETAILS:
            allowed = ", ".join(_DETAILS)
            message = f"{path.name}, line {one.line}: {name} has an unknown key {one.key!r}: use {allowed}."
            raise MalformedPromptError(message, path, one.line)
    lines = {one.key: one.line for one in details}
    choices = _choices(value.get("choices"), lines.get("choices", line), name, path)
    default = _text(value.get("default"), lines.get("default", line), f"the default of {name}", path)
    if choices and default is not None and default not in choices:
        raise wrong(path, lines["default"], f"the default of {name}", default, f"one of its choices: {choices}")
    height = value.get("lines") or "1"
    if not isinstance(height, str) or not _HEIGHT.fullmatch(height) or not 1 <= int(height) <= _LONGEST_FIELD:
        raise wrong(path, lines["lines"], f"lines of {name}", height, f"a whole number from 1 to {_LONGEST_FIELD}")
    label = _text(value.get("label"), lines.get("label", line), f"the label of {name}", path)
    return Variable(
        name, label or label_of(name), default or (choices[0] if choices else default), choices, int(height)
    )


def _choices(value: Any, line: int, name: str, path: Path) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not value:
        raise wrong(path, line, f"choices of {name}", value, "a list of texts")
    texts = [_text(one, line, f"a choice of {name}", path) for one in value]
    return tuple(text for text in texts if text is not None)


def _text(value: Any, line: int, what: str, path: Path) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise wrong(path, line, what, value, "text; put it in quotes")
