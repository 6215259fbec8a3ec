"""Files as prompts: any file's text, prompt files with settings and variables, and the table of what a run brought.

Engine and window both read prompt files and neither may import the other, so what they share stands here. It knows
no model, no Qt and no HTTP.
"""

from prompt_files.document import Document, read_document
from prompt_files.errors import MalformedPromptError, PromptFilesError, UnreadableFileError
from prompt_files.prompt import PromptFile, is_prompt_file, parse_prompt, read_prompt
from prompt_files.variables import Variable

__all__ = [
    "Document",
    "MalformedPromptError",
    "PromptFile",
    "PromptFilesError",
    "UnreadableFileError",
    "Variable",
    "is_prompt_file",
    "parse_prompt",
    "read_document",
    "read_prompt",
]
