"""Prompt files as the engine answers them: `prompt_files` reads them, and its errors become ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import prompt_files
from mlx_spec.errors import PromptError


@dataclass(frozen=True, slots=True)
class PromptFile:
    """The text to answer, and what the file asks for: any of title, system, temperature, top_p, max_tokens, seed,
    pair, lookahead."""

    text: str
    settings: dict[str, Any]


def read_prompt_file(path: Path, values: Mapping[str, str] | None = None) -> PromptFile:
    """Read a text file, a PDF, or a prompt with front matter, and put `values` in the place of its variables.

    Raises PromptError where it cannot be read, its front matter is not understood, or a variable has no value.
    """
    try:
        prompt = prompt_files.read_prompt(path)
        names = [variable.name for variable in prompt.variables]
        if unknown := [name for name in values or () if name not in names]:
            has = f"has {', '.join(names)}" if names else "has none"
            raise PromptError(f"{path} has no variable {unknown[0]!r}: it {has}.")
        missing = [one.name for one in prompt.variables if one.default is None and one.name not in (values or {})]
        if missing:
            raise PromptError(f"{path} needs a value for {', '.join(missing)}: give it with --set {missing[0]}=TEXT.")
        text, system = prompt.filled(values or {})
    except prompt_files.PromptFilesError as error:
        raise PromptError(_told(error, path), details=error.details) from error
    settings = prompt.settings.given() | ({"system": system} if system is not None else {})
    return PromptFile(text, settings)


def _told(error: prompt_files.PromptFilesError, path: Path) -> str:
    """The sentence with the whole path: a command line may name several files of one name."""
    quoted = f"“{path.name}”"
    return str(error).replace(quoted if quoted in str(error) else path.name, str(path), 1)
