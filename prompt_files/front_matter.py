"""The YAML between two `---` lines at the top of a file, with the line of every key.

Scalars stay as they are spelt: YAML 1.1 makes 3.1 of `3.10`, 750 of `12:30` and 8 of `010`, and what a value is to be
is known where its key is.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from prompt_files.errors import MalformedPromptError

_FENCE: Final = "---"
_NOTHING: Final = ("", "~", "null", "Null", "NULL")
_TAG: Final = "tag:yaml.org,2002:"
_TAGS: Final = frozenset(_TAG + name for name in ("str", "seq", "map", "int", "float", "bool", "null"))


@dataclass(frozen=True, slots=True)
class Entry:
    """A key with its value, the line where the key stands, and the value's own entries where it is a mapping.

    A value is a text, None, a list of values or a dictionary of them.
    """

    key: str
    value: Any
    line: int
    entries: tuple["Entry", ...] = ()


@dataclass(frozen=True, slots=True)
class Parts:
    """A file in two: the YAML, None where the file has no front matter, and the text. Lines are where each begins."""

    yaml: str | None
    text: str
    yaml_line: int
    text_line: int


def split(content: str) -> Parts:
    """Cut the front matter off, which may stand below empty lines.

    A first `---` without a second one is a ruled line of a plain text.
    """
    lines = content.split("\n")
    opening = next((i for i, line in enumerate(lines) if line.strip()), 0)
    closing = None
    if lines[opening].strip() == _FENCE:
        closing = next((i for i in range(opening + 1, len(lines)) if lines[i].strip() == _FENCE), None)
    if closing is None:
        return Parts(None, content, 1, 1)
    return Parts("\n".join(lines[opening + 1 : closing]), "\n".join(lines[closing + 1 :]), opening + 2, closing + 2)


def parse(parts: Parts, path: Path) -> list[Entry] | None:
    """The entries of a front matter, None where it is YAML but no mapping. Raises MalformedPromptError."""
    reader = _Reader(path, parts.yaml_line)
    try:
        node = yaml.compose(parts.yaml or "", Loader=yaml.BaseLoader)
        if node is None:
            return []
        return list(reader.entries(node)) if isinstance(node, yaml.MappingNode) else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise reader.not_yaml(mark.line if mark else 0, error) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise reader.not_yaml(0, error) from error


class _Reader:
    """Makes values of nodes. Each node once: an alias may stand for one many times over, or for what it is part of."""

    def __init__(self, path: Path, first_line: int) -> None:
        self._path, self._first_line = path, first_line
        self._values: dict[yaml.Node, Any] = {}
        self._entries: dict[yaml.Node, tuple[Entry, ...]] = {}

    def entries(self, mapping: yaml.MappingNode) -> tuple[Entry, ...]:
        """The keys of a mapping in their order; none for one that is part of itself."""
        if mapping in self._entries:
            return self._entries[mapping]
        self._entries[mapping] = ()
        entries: dict[str, Entry] = {}
        for key_node, node in mapping.value:
            key, line = str(key_node.value), key_node.start_mark.line + self._first_line
            if key in entries:
                raise MalformedPromptError(
                    f"{self._path.name}, line {line}: {key} stands a second time, after line {entries[key].line}: "
                    "keep one.",
                    self._path,
                    line,
                )
            inner = self.entries(node) if isinstance(node, yaml.MappingNode) else ()
            entries[key] = Entry(key, self._value(node), line, inner)
        self._entries[mapping] = tuple(entries.values())
        return self._entries[mapping]

    def _value(self, node: yaml.Node) -> Any:
        if node in self._values:
            return self._values[node]
        if node.tag not in _TAGS:
            raise self.not_yaml(node.start_mark.line, ValueError(f"{node.tag} is no tag of a setting"))
        if isinstance(node, yaml.ScalarNode):
            is_nothing = node.style is None and node.value in _NOTHING
            self._values[node] = None if is_nothing else node.value
        elif isinstance(node, yaml.SequenceNode):
            several: list[Any] = []
            self._values[node] = several  # known before it is whole, for what is part of itself
            several += [self._value(one) for one in node.value]
        else:
            inner: dict[str, Any] = {}
            self._values[node] = inner
            inner.update((str(key.value), self._value(one)) for key, one in node.value)
        return self._values[node]

    def not_yaml(self, line: int, error: Exception) -> MalformedPromptError:
        """The error for a place in the YAML, whose lines count from 0."""
        message = "the front matter is not YAML, so mend this line or put its text in quotes."
        line += self._first_line
        return MalformedPromptError(f"{self._path.name}, line {line}: {message}", self._path, line, details=str(error))
