"""The YAML between two `---` lines at the top of a file, with the line of every key."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from prompt_files.errors import MalformedPromptError

_FENCE: Final = "---"
_FIRST_LINE: Final = 2  # of the YAML, below the opening fence


@dataclass(frozen=True, slots=True)
class Entry:
    """A key with its value, the line where the key stands, and the value's own entries where it is a mapping."""

    key: str
    value: Any
    line: int
    entries: tuple["Entry", ...] = ()


@dataclass(frozen=True, slots=True)
class Parts:
    """A file in two: the YAML, None where the file has no front matter, and the text that begins on `text_line`."""

    yaml: str | None
    text: str
    text_line: int


def split(content: str) -> Parts:
    """Cut the front matter off. A first `---` without a second one is a ruled line of a plain text."""
    lines = content.split("\n")
    if lines[0].strip() != _FENCE:
        return Parts(None, content, 1)
    closing = next((i for i, line in enumerate(lines[1:], 1) if line.strip() == _FENCE), None)
    if closing is None:
        return Parts(None, content, 1)
    return Parts("\n".join(lines[1:closing]), "\n".join(lines[closing + 1 :]), closing + 2)


def parse(source: str, path: Path) -> list[Entry] | None:
    """The entries of a front matter, None where it is YAML but no mapping. Raises MalformedPromptError."""
    try:
        node = yaml.compose(source, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _not_yaml(path, (mark.line if mark else 0) + _FIRST_LINE, error) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise _not_yaml(path, _FIRST_LINE, error) from error
    if node is None:
        return []
    return list(_entries(node, path)) if isinstance(node, yaml.MappingNode) else None


def _entries(mapping: yaml.MappingNode, path: Path) -> tuple[Entry, ...]:
    entries: dict[str, Entry] = {}
    for key_node, node in mapping.value:
        key, line = str(key_node.value), key_node.start_mark.line + _FIRST_LINE
        if key in entries:
            raise MalformedPromptError(
                f"{path.name}, line {line}: {key} stands a second time, after line {entries[key].line}: keep one.",
                path,
                line,
            )
        inner = _entries(node, path) if isinstance(node, yaml.MappingNode) else ()
        entries[key] = Entry(key, _value(node, path), line, inner)
    return tuple(entries.values())


def _value(node: yaml.Node, path: Path) -> Any:
    try:
        return yaml.SafeLoader("").construct_document(node)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        # PyYAML lets the errors of its constructors through: a date that is none, a number of 5,000 digits.
        raise _not_yaml(path, node.start_mark.line + _FIRST_LINE, error) from error


def _not_yaml(path: Path, line: int, error: Exception) -> MalformedPromptError:
    return MalformedPromptError(
        f"{path.name}, line {line}: the front matter is not YAML, so mend this line or put its text in quotes.",
        path,
        line,
        details=str(error),
    )
