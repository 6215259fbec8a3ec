"""The models' window."""

from app.models.views.drops import ModelDrops
from app.models.views.list import installed_entry
from app.models.views.window import FIND, INSTALLED, ModelsWindow

__all__ = ["FIND", "INSTALLED", "ModelDrops", "ModelsWindow", "installed_entry"]
