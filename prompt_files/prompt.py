"""A prompt in a file: text with `{{variables}}`, opened by front matter that says how to answer it."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
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
# What people write: zeros in front are not base eight, and an exponent needs no point.
_WHOLE_NUMBER: Final = re.compile(r"[-+]?[0-9]{1,30}|0x[0-9a-fA-F]{1,30}")
_NUMBER: Final = re.compile(r"[-+]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][-+]?[0-9]{1,3})?")


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
    """Read a prompt. A file whose name does not end in `.prompt.md` is plain text, braces and all, unless it begins
    with front matter that is nobody else's.

    Raises UnreadableFileError, MalformedPromptError.
    """
    document = read_document(path)
    return replace(parse_prompt(document.text, path), remark=document.remark)


def parse_prompt(content: str, path: Path) -> PromptFile:
    """The prompt in `content`; `path` names it in errors. Raises MalformedPromptError."""
    parts = front_matter.split(content)
    if not is_prompt_file(path) and not _is_ours(parts, path):
        return PromptFile(path, _whole_text(content, path), PromptSettings(), is_template=False)
    entries = front_matter.parse(parts, path) if parts.yaml is not None else None
    if entries is None and content.lstrip().startswith("---"):
        line = content[: content.index("---")].count("\n") + 1
        message = f"{path.name}, line {line}: the front matter is not a list of settings between two --- lines."
        raise MalformedPromptError(message, path, line)
    settings = _settings(entries or [], path)
    used = _used(settings, parts, entries or [])
    return PromptFile(path, _whole_text(parts.text, path), settings, _variables(entries or [], used, path))


def _is_ours(parts: front_matter.Parts, path: Path) -> bool:
    """Whether front matter is a prompt's. Notes, blogs and manifests have some too, and many of them have a title."""
    if parts.yaml is None:
        return False
    try:
        keys = {entry.key for entry in front_matter.parse(parts, path) or ()}
    except MalformedPromptError:
        return False
    return keys <= set(_KEYS) and not keys <= {"title"}


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
        value, allowed = _meant(entry.key, entry.value)
        if value is None:
            raise variables.wrong(path, entry.line, entry.key, entry.value, allowed)
        values[entry.key] = value
    return PromptSettings(**values)


def _meant(key: str, value: Any) -> tuple[str | int | float | None, str]:
    """What a value says, None where this key cannot have it, and what it can have."""
    text = value if isinstance(value, str) else ""
    whole = int(text, 16 if text.startswith("0x") else 10) if _WHOLE_NUMBER.fullmatch(text) else None
    if key in _TEXTS:
        return value if isinstance(value, str) else None, "text"
    if key in _WHOLE:
        return whole, "a whole number"
    if key == "lookahead":
        return "auto" if text == "auto" else whole, "auto or a whole number"
    number = float(text) if _NUMBER.fullmatch(text) else None
    return None if number is not None and math.isinf(number) else number, "a number"


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
