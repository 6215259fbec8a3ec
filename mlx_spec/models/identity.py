"""What keys and values depend on: the model's files, and how this machine rounds. Where any of it changes, what another
process has read of a text is no longer what this one would make of it.
"""

import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from mlx_spec.models.files.config import CONFIG
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.memory import blas_build, blas_file, weights_bytes

_CONTENT: Final = frozenset({".safetensors", ".bin", ".pt", ".py"})
_LIBRARIES: Final = ("mlx", "mlx-lm", "lookahead-spec")
# These choose kernels, precisions and numbers of threads.
_VARIABLES: Final = ("MLX_", "OPENBLAS_", "OMP_", "VECLIB_")


def content_identity(folders: Sequence[ModelFolder | None]) -> str:
    """A hash of the models in some folders, each in its role; None stands for a role that nobody has.

    Nobody waits for all of 16 GB, nor reads a file twice: of each it takes size and times. Whoever replaces a file
    cannot help changing one of these, the time of its last change if nothing else. Raises OSError for a folder that
    cannot be looked at.
    """
    facts = [_facts(folder) if folder is not None else None for folder in folders]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def circumstances(models: Sequence[nn.Module | None]) -> list[Any]:
    """What decides how this process rounds with some loaded models, as JSON has it: their types, the libraries, the
    device, the BLAS with its threads, and what the environment tells these."""
    info: Mapping[str, Any] = mx.device_info()
    library = blas_file()
    threads = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return [
        [_types(model) if model is not None else None for model in models],
        [[name, _version(name)] for name in _LIBRARIES],
        [str(mx.default_device()), str(info.get("architecture")), str(info.get("device_name"))],
        [sys.platform, platform.machine(), platform.mac_ver()[0]],
        [blas_build(), _build(library) if library is not None else None, threads],
        sorted([name, value] for name, value in os.environ.items() if name.startswith(_VARIABLES)),
    ]


def _facts(folder: ModelFolder) -> list[Any]:
    files = sorted(path for path in folder.path.iterdir() if path.name == CONFIG or path.suffix in _CONTENT)
    return [[path.name, *_state(path)] for path in files]


def _state(path: Path) -> list[int]:
    """Size and times. The last is of any change, which a copy that takes over the other cannot set."""
    state = path.stat()
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns]


def _build(library: Path) -> list[int] | str:
    """Which build of a library serves; its name alone where it was replaced since."""
    try:
        return _state(library)
    except OSError:
        return str(library)


def _types(model: nn.Module) -> list[Any]:
    """The types of a model's weights, and their bytes."""
    types = {str(weight.dtype) for _, weight in tree_flatten(model.parameters())}
    return [sorted(types), weights_bytes(model)]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:  # a bundle may carry no metadata of ours
        return None
