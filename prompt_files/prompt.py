"""A prompt in a file: text with `{{variables}}`, opened by front matter that says how to answer it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal

from prompt_files import front_matter, variables
from prompt_files.document import read_document
from prompt_files.errors import MalformedPromptError
from prompt_files.front_matter import Entry
from prompt_files.variables import Variable

SUFFIX: Final = ".prompt.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSettings:
    """What the front matter asks for; None leaves it to whoever answers. Ranges are checked where they are used."""

    title: str | None = None
    system: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    pair: str | None = None
    lookahead: int | Literal["auto"] | None = None

    def given(self) -> dict[str, Any]:
        """Those that are not None."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


_KEYS: Final = (*(field.name for field in fields(PromptSettings)), "variables")
_TEXTS: Final = ("title", "system", "pair")
_WHOLE: Final = ("max_tokens", "seed")


@dataclass(frozen=True, slots=True)
class PromptFile:
    """A prompt as it was written: `text` and `settings.system` still hold their `{{variables}}`.

    `is_template` is False for plain text, whose braces are braces. `remark` says what of the file is not in the text.
    """

    path: Path
    text: str
    settings: PromptSettings
    variables: tuple[Variable, ...] = ()
    is_template: bool = True
    remark: str = ""

    @property
    def title(self) -> str:
        """What the front matter calls it, else the file's name in words."""
        stem = self.path.name.removesuffix(SUFFIX).removesuffix(".md")
        return self.settings.title or variables.label_of(stem.lstrip("0123456789-_").replace("-", "_") or stem)

    def filled(self, values: Mapping[str, str]) -> tuple[str, str | None]:
        """The text and the system prompt with `values`, and defaults where there is none.

        Raises MalformedPromptError for a value that is missing, or is none of its variable's choices.
        """
        if not self.is_template:
            return self.text, self.settings.system
        whole: dict[str, str] = {}
        for variable in self.variables:
            value = values.get(variable.name, variable.default)
            if value is None or (not value.strip() and variable.default is None):
                raise MalformedPromptError(f"{self.path.name} needs a value for {variable.name}.", self.path)
            if variable.choices and value not in variable.choices:
                allowed = ", ".join(variable.choices)
                message = f"{self.path.name}: {variable.name} is {value!r}, but must be one of {allowed}."
                raise MalformedPromptError(message, self.path)
            whole[variable.name] = value
        system = self.settings.system
        return variables.fill(self.text, whole), variables.fill(system, whole) if system is not None else None


def is_prompt_file(path: Path) -> bool:
    """Whether the name says that the file is a prompt of its own, not a text to ask about."""
    return path.name.lower().endswith(SUFFIX)


def read_prompt(path: Path) -> PromptFile:
    """Read a prompt. A file without front matter whose name does not end in `.prompt.md` is plain text, braces and all.

    Raises UnreadableFileError, MalformedPromptError.
    """
    return parse_prompt(read_document(path).text, path)


def parse_prompt(content: str, path: Path) -> PromptFile:
    """The prompt in `content`; `path` names it in errors. Raises MalformedPromptError."""
    parts = front_matter.split(content)
    entries = front_matter.parse(parts.yaml, path) if parts.yaml is not None else None
    if entries is None and not is_prompt_file(path):
        return PromptFile(path, _whole_text(content, path), PromptSettings(), is_template=False)
    if entries is None and content.startswith("---"):
        raise MalformedPromptError(
            f"{path.name}, line 1: the front matter is not a list of settings between two --- lines.", path, 1
        )
    settings = _settings(entries or [], path)
    used = _used(settings, parts, entries or [])
    return PromptFile(path, _whole_text(parts.text, path), settings, _variables(entries or [], used, path))


def _whole_text(text: str, path: Path) -> str:
    if not text.strip():
        raise MalformedPromptError(f"{path.name} is empty: write something to answer.", path)
    return text.strip("\r\n")


def _settings(entries: list[Entry], path: Path) -> PromptSettings:
    values: dict[str, Any] = {}
    for entry in entries:
        if entry.key not in _KEYS:
            message = f"{path.name}, line {entry.line}: unknown key {entry.key!r}: use {', '.join(_KEYS)}."
            raise MalformedPromptError(message, path, entry.line)
        if entry.key == "variables" or entry.value is None:
            continue
        if (allowed := _refusal(entry.key, entry.value)) is not None:
            raise variables.wrong(path, entry.line, entry.key, entry.value, allowed)
        values[entry.key] = entry.value
    return PromptSettings(**values)


def _refusal(key: str, value: object) -> str | None:
    """What a value of this key must be, None where it is."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if key in _TEXTS:
        return None if isinstance(value, str) else "text; put it in quotes"
    if key in _WHOLE:
        return None if is_whole else "a whole number"
    if key == "lookahead":
        return None if is_whole or value == "auto" else "auto or a whole number"
    return None if is_whole or (isinstance(value, float) and math.isfinite(value)) else "a number"


def _used(settings: PromptSettings, parts: front_matter.Parts, entries: list[Entry]) -> dict[str, int]:
    """{name: line of its first use} over system prompt and text."""
    used: dict[str, int] = {}
    system_line = next((entry.line for entry in entries if entry.key == "system"), 1)
    for name, _ in variables.placeholders(settings.system or ""):
        used.setdefault(name, system_line)
    for name, line in variables.placeholders(parts.text):
        used.setdefault(name, parts.text_line + line)
    return used


def _variables(entries: list[Entry], used: dict[str, int], path: Path) -> tuple[Variable, ...]:
    """Declared variables in their order; without a declaration, all that are used."""
    entry = next((entry for entry in entries if entry.key == "variables"), None)
    if entry is None or entry.value is None:
        return tuple(Variable(name, variables.label_of(name)) for name in used)
    known = variables.declared(entry, path)
    names = [variable.name for variable, _ in known]
    for variable, line in known:
        if variable.name not in used:
            message = f"{path.name}, line {line}: {variable.name} is declared and never used: write it as"
            raise MalformedPromptError(f"{message} {{{{{variable.name}}}}} or take it out.", path, line)
    for name, line in used.items():
        if name not in names:
            message = f"{path.name}, line {line}: {{{{{name}}}}} is not among the variables {', '.join(names)}:"
            raise MalformedPromptError(f"{message} add it to them, or write \\{{{{ for plain braces.", path, line)
    return tuple(variable for variable, _ in known)
