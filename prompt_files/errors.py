"""What can be wrong with a file. Every message is one sentence that names the file and says what to do.

PromptFilesError
├── UnreadableFileError    the file gives no text: gone, a folder, binary, empty, too large, locked
└── MalformedPromptError   the text is no prompt: front matter, variables or their values are wrong
"""

from pathlib import Path


class PromptFilesError(ValueError):
    """Root of this package's errors. `str(error)` is the sentence, `path` the file, `details` for a folded view."""

    def __init__(self, message: str, path: Path, *, details: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.details = details


class UnreadableFileError(PromptFilesError):
    """No text can be had from this file."""


class MalformedPromptError(PromptFilesError):
    """The file is text, but not the prompt that it means to be. `line` counts from 1, None: no line is to blame."""

    def __init__(self, message: str, path: Path, line: int | None = None, *, details: str = "") -> None:
        super().__init__(message, path, details=details)
        self.line = line
