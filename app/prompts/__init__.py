"""What is asked: files that go along, prompt files and their queue, and how much of the context that takes."""

from app.prompts.attached_file import told_size
from app.prompts.attachments import AttachmentsViewModel
from app.prompts.context import ContextViewModel, Message, next_messages
from app.prompts.examples import ExamplePrompt, prompts_folder, read_examples
from app.prompts.queue import QueueViewModel, settings_of

__all__ = [
    "AttachmentsViewModel",
    "ContextViewModel",
    "ExamplePrompt",
    "Message",
    "QueueViewModel",
    "next_messages",
    "prompts_folder",
    "read_examples",
    "settings_of",
    "told_size",
]
