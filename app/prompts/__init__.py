"""What is asked: files that go along, prompt files and their queue, and how much of the context that takes."""

from app.prompts.attached_file import format_size
from app.prompts.attachments import AttachmentsViewModel
from app.prompts.context import ContextViewModel, next_messages
from app.prompts.examples import ExamplePrompt, prompts_folder, read_examples
from app.prompts.queue import QueueViewModel, settings_of

__all__ = [
    "AttachmentsViewModel",
    "ContextViewModel",
    "ExamplePrompt",
    "QueueViewModel",
    "format_size",
    "next_messages",
    "prompts_folder",
    "read_examples",
    "settings_of",
]
