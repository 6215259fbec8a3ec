"""What the engine measures and keeps for its next start: JSON objects in the data folder. All of it can be measured
again, so nothing here raises for a file that is lost, damaged or cannot be written."""

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlx_spec.machine.resources import data_folder


def kept_path(folder: str, facts: Sequence[Any]) -> Path:
    """Where in a folder of the data folder is kept what depends on these facts, which JSON can write. Raises
    StorageError as `data_folder`."""
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    return data_folder() / folder / f"{digest}.json"


def read_kept(path: Path) -> dict[str, Any]:
    """The object in a file; empty where there is none."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def keep(path: Path, values: dict[str, Any]) -> None:
    """Write the object, whole or not at all; two processes do not disturb each other."""
    part = path.with_suffix(f".part-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(values), encoding="utf-8")
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
