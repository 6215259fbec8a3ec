"""Prompt files as the engine answers them: `prompt_files` reads them, and its errors become ours."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

import prompt_files
from mlx_spec.cli.terminal.options import DEFAULT_MAX_TOKENS, DEFAULT_PAIR
from mlx_spec.errors import PromptError

if TYPE_CHECKING:
    from mlx_spec.models.loading import ModelPair


@dataclass(frozen=True, slots=True)
class PromptFile:
    """The text to answer, and what the file asks for: any of title, system, temperature, top_p, max_tokens, seed,
    pair, lookahead. `remark` says what of the file could not be read, "" where all was.

    An option of the command line wins over the file's setting, and this over the default.
    """

    text: str
    settings: dict[str, Any]
    remark: str = ""

    def pair(self, option: str | None) -> str:
        """The pair's name, or the target's."""
        return option or str(self.settings.get("pair", DEFAULT_PAIR))

    def lookahead(self, option: str | None) -> str:
        """A number of tokens, or auto."""
        return option or str(self.settings.get("lookahead", "auto"))

    def max_tokens(self, option: int | None) -> int:
        """The longest answer, in tokens."""
        return option if option is not None else int(self.settings.get("max_tokens", DEFAULT_MAX_TOKENS))

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation that the text begins."""
        system = [{"role": "system", "content": self.settings["system"]}] if "system" in self.settings else []
        return [*system, {"role": "user", "content": self.text}]

    def encoded(self, pair: "ModelPair") -> list[int]:
        """The ids of the conversation. What the model's template cannot say is told on stderr."""
        prompt_ids = pair.encode_chat(self.messages)
        if note := pair.chat_note(self.messages):
            typer.echo(note, err=True)
        return prompt_ids


def read_prompt_file(path: Path, values: Mapping[str, str] | None = None) -> PromptFile:
    """Read a text file, a PDF, or a prompt with front matter, and put `values` in the place of its variables.

    Raises PromptError where it cannot be read, its front matter is not understood, or a variable has no value.
    """
    opened = open_prompt(path)
    check_values(values or {}, [opened])
    return fill_prompt(opened, values or {})


def open_prompt(path: Path) -> prompt_files.PromptFile:
    """Read a prompt and leave its variables open. Raises PromptError."""
    try:
        return prompt_files.read_prompt(path)
    except prompt_files.PromptFilesError as error:
        raise PromptError(_told(error, path), details=error.details) from error


def check_values(values: Mapping[str, str], prompts: Iterable[prompt_files.PromptFile]) -> None:
    """Raise PromptError for a value that no prompt has a variable for."""
    names = list(dict.fromkeys(variable.name for prompt in prompts for variable in prompt.variables))
    for name in values:
        if name not in names:
            there = f"there are {', '.join(names)}" if names else "there are none"
            raise PromptError(f"No prompt has a variable {name!r}: {there}.")


def fill_prompt(prompt: prompt_files.PromptFile, values: Mapping[str, str]) -> PromptFile:
    """The prompt with its variables filled; values for others are left alone. Raises PromptError."""
    path = prompt.path
    missing = [one.name for one in prompt.variables if one.default is None and one.name not in values]
    if missing:
        raise PromptError(f"{path} needs a value for {', '.join(missing)}: give it with --set {missing[0]}=TEXT.")
    try:
        text, system = prompt.filled(values)
    except prompt_files.PromptFilesError as error:
        raise PromptError(_told(error, path), details=error.details) from error
    settings = prompt.settings.given() | ({"system": system} if system is not None else {})
    return PromptFile(text, settings, prompt.remark)


def _told(error: prompt_files.PromptFilesError, path: Path) -> str:
    """The sentence with the whole path: a command line may name several files of one name."""
    quoted = f"“{path.name}”"
    return str(error).replace(quoted if quoted in str(error) else path.name, str(path), 1)
