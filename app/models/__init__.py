"""Models to find, judge, fetch, load and import, as plain state and signals. Its widgets are in `views`."""

from app.models.choice import Choice, Entry
from app.models.importing import ModelImport, is_model_path
from app.models.library import ModelsViewModel
from app.models.loaded import LoadedModels
from app.models.sizes import format_bytes
from app.models.trial import PairRace

__all__ = [
    "Choice",
    "Entry",
    "LoadedModels",
    "ModelImport",
    "ModelsViewModel",
    "PairRace",
    "format_bytes",
    "is_model_path",
]
