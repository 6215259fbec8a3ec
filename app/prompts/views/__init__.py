"""The composer and all that goes with it: chips, forms, the queue's window, the welcome page."""

from app.prompts.views.composer import Composer
from app.prompts.views.form import PromptForm
from app.prompts.views.queue_window import QueueWindow
from app.prompts.views.text_dialog import TextDialog, file_dialog
from app.prompts.views.welcome import Welcome

__all__ = ["Composer", "PromptForm", "QueueWindow", "TextDialog", "Welcome", "file_dialog"]
