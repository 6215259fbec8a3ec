"""The pictures of `make screenshots`: one file for each part of the window, drawn in this order."""

from app.scenes import conversation, speculation
from app.scenes.stage import Scene

SCENES: tuple[Scene, ...] = (*conversation.SCENES, *speculation.SCENES)
