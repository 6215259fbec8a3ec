"""Errors of other libraries in words that a person understands."""

from collections.abc import Mapping
from pathlib import Path

from mlx_spec.errors import UnsupportedModelError


def lacks_package(folder: Path, config: Mapping[str, object]) -> UnsupportedModelError:
    """What to raise where mlx-lm would end the process."""
    return UnsupportedModelError(
        f"The model in {folder} cannot be loaded: mlx-lm needs another package for {config.get('model_type')!r}."
    )


def reason(error: Exception) -> str:
    """The first sentence of another library's error; the rest belongs in the details."""
    if isinstance(error, KeyError):
        return f"the field {error} is missing"
    return str(error).partition("\n")[0].partition(". ")[0].rstrip(".: ") or type(error).__name__
