"""A prompt in a file: plain text, optionally opened by YAML front matter with a title and settings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from mlx_spec.errors import PromptError

_FENCE: Final = "---"
_KINDS: Final[dict[str, Any]] = {
    "title": str,
    "system": str,
    "temperature": int | float,
    "top_p": int | float,
    "max_tokens": int,
    "seed": int,
}


@dataclass(frozen=True, slots=True)
class PromptFile:
    """The text to answer, and what the file asks for: any of title, system, temperature, top_p, max_tokens, seed."""

    text: str
    settings: dict[str, Any]


def read_prompt_file(path: Path) -> PromptFile:
    """Read a UTF-8 text file.

    Raises PromptError where it is missing, unreadable, binary or empty, or its front matter is not understood.
    """
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise PromptError(f"The prompt file {path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"The prompt file {path} is not UTF-8 text: give a text file.") from error
    if "\0" in content:
        raise PromptError(f"The prompt file {path} is binary: give a text file.")
    settings, text = _split(content, path)
    if not text.strip():
        raise PromptError(f"The prompt file {path} is empty: write something to answer.")
    return PromptFile(text.strip("\r\n"), settings)


def _split(content: str, path: Path) -> tuple[dict[str, Any], str]:
    """Settings and text. Lines end with a line feed only, so that the text stays as it was written."""
    lines = content.split("\n")
    if lines[0].strip() != _FENCE:
        return {}, content
    closing = next((i for i, line in enumerate(lines[1:], 1) if line.strip() == _FENCE), None)
    if closing is None:
        return {}, content  # a ruled line at the top of a plain text
    try:
        settings = yaml.safe_load("\n".join(lines[1:closing])) or {}
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        # PyYAML lets the errors of its constructors through: a date that is none, a number of 5,000 digits.
        raise PromptError(f"The front matter of {path} is not YAML: mend the lines above the second ---.") from error
    if not isinstance(settings, dict):
        return {}, content
    return _checked(settings, path), "\n".join(lines[closing + 1 :])


def _checked(settings: dict[Any, Any], path: Path) -> dict[str, Any]:
    """The settings but for keys that were left empty. Ranges are checked where the settings are used."""
    for key, value in settings.items():
        if key not in _KINDS:
            raise PromptError(f"The front matter of {path} has an unknown key {key!r}: use {', '.join(_KINDS)}.")
        if value is not None and (isinstance(value, bool) or not isinstance(value, _KINDS[key])):
            kind = "text" if _KINDS[key] is str else "a number"
            raise PromptError(f"In the front matter of {path}, {key} is {value!r}: it must be {kind}.")
    return {key: value for key, value in settings.items() if value is not None}
