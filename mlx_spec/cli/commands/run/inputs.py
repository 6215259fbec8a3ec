"""The prompts that a run answers."""

from collections.abc import Sequence
from pathlib import Path

import prompt_files
from mlx_spec.cli.terminal.prompt_file import open_prompt
from mlx_spec.errors import LookaheadError, PromptError
from prompt_files import is_prompt_file
from prompt_files.folder import list_folder


def expanded(files: Sequence[Path]) -> list[Path]:
    """Folders as the prompt files in them; each file once. Raises PromptError for a folder without any."""
    paths: dict[Path, None] = {}
    for file in files:
        if not file.is_dir():
            paths[file] = None
            continue
        found = [path for path in list_folder(file).files if is_prompt_file(path)]
        if not found:
            raise PromptError(f"{file} holds no *.prompt.md: name the files, or another folder.")
        paths.update(dict.fromkeys(found))
    return list(paths)


def opened(path: Path) -> prompt_files.PromptFile | LookaheadError:
    """The prompt, or why it cannot be had: the others are answered all the same."""
    try:
        return open_prompt(path)
    except LookaheadError as error:
        return error
