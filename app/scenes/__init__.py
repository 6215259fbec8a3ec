"""The pictures of `make screenshots`: one file for each part of the window, drawn in this order."""

from app.scenes import chats, conversation, first_run, machines, models, prompt_files, side_by_side, speculation
from app.scenes.stage import Scene

SCENES: tuple[Scene, ...] = (
    *first_run.SCENES,
    *conversation.SCENES,
    *chats.SCENES,
    *prompt_files.SCENES,
    *speculation.SCENES,
    *side_by_side.SCENES,
    *models.SCENES,
    *machines.SCENES,
)
