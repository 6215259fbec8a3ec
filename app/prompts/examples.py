"""The example prompts of the welcome page, read from `resources/prompts/*.prompt.md`."""

from dataclasses import dataclass
from pathlib import Path

from app.look.resources import resources_folder
from prompt_files import PromptFilesError, read_prompt
from prompt_files.prompt import SUFFIX


@dataclass(frozen=True, slots=True)
class ExamplePrompt:
    """A title for the card, the text that is asked, and the temperature that suits it, None for any."""

    title: str
    text: str
    temperature: float | None = None


def prompts_folder() -> Path | None:
    """`resources/prompts` of the checkout, or of the installed engine; None where there is none."""
    resources = resources_folder()
    folder = resources / "prompts" if resources else None
    return folder if folder is not None and folder.is_dir() else None


def read_examples(folder: Path | None, limit: int = 4) -> list[ExamplePrompt]:
    """Up to `limit` prompts without variables, in the order of their file names.

    A file that cannot be read is left out: the first page is no place for what only its author can mend.
    """
    examples: list[ExamplePrompt] = []
    for path in sorted(folder.glob(f"*{SUFFIX}")) if folder else ():
        try:
            prompt = read_prompt(path)
        except PromptFilesError:
            continue
        if not prompt.variables:
            examples.append(ExamplePrompt(prompt.title, prompt.filled({})[0], prompt.settings.temperature))
    return examples[:limit]
