"""A model's JSON files: config.json, and generation_config.json beside it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mlx_spec.errors import CorruptModelError

CONFIG: Final = "config.json"
GENERATION: Final = "generation_config.json"
# transformers 5 writes a number that JSON does not have as {"__float__": "Infinity"}.
_FLOAT_TAG: Final = "__float__"
_FLOATS: Final = ("Infinity", "-Infinity", "NaN")


def read_json(file: Path) -> Any:
    """What `file` holds, None where it is not there. Raises CorruptModelError where it cannot be read as JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"), object_hook=_untagged)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptModelError(f"{file} cannot be read ({error}).") from error


def parts_of(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The places where a configuration may keep a field: itself, and `text_config` of a model with several parts."""
    yield config
    inner = config.get("text_config")
    if isinstance(inner, dict):
        yield inner


def _untagged(entry: dict[str, Any]) -> Any:
    return float(entry[_FLOAT_TAG]) if len(entry) == 1 and entry.get(_FLOAT_TAG) in _FLOATS else entry
