"""Finds `resources/`, which stands outside the packages."""

import importlib.util
from functools import cache
from pathlib import Path


@cache
def resources_folder() -> Path | None:
    """`resources` of the checkout, or of the installed engine; the engine is looked up, never imported."""
    candidates = [Path(__file__).resolve().parents[2] / "resources"]
    spec = importlib.util.find_spec("mlx_spec")
    places = (spec.submodule_search_locations or ()) if spec else ()
    candidates += [Path(place) / "resources" for place in places]
    return next((folder for folder in candidates if folder.is_dir()), None)
