"""A folder that appears whole or not at all, however its making ends and whoever else makes it too."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from mlx_spec.errors import StorageError

_PART = ".part-"


def human_bytes(count: int) -> str:
    """Return `count` bytes as a person reads them, in powers of 1000: `538.1 MB`."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def check_free_space(folder: Path, needed_bytes: int, what: str) -> None:
    """Raise StorageError when the disk of the existing `folder` has less than `needed_bytes` free for `what`."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise StorageError(
            f"{what} needs {human_bytes(needed_bytes)} of disk space, but only {human_bytes(free)} are free"
            f" in {folder}, so free some space and try again."
        )


@contextmanager
def staged_folder(
    final: Path, is_complete: Callable[[Path], bool], needed_bytes: int, work: str = "Importing"
) -> Iterator[Path]:
    """Yield an empty folder beside `final` that becomes `final` when the block ends well. `work` names what goes on.

    When the block raises anything, KeyboardInterrupt included, the folder is removed and `final` stays as it was.
    When another process finished `final` meanwhile (`is_complete(final)`), its work is kept and ours dropped.

    Raises StorageError when the disk has less than `needed_bytes` free, fills up, or does not let us write.
    """
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(final)
        check_free_space(final.parent, needed_bytes, f"{work} {final.name}")
        part = _new_part(final)
    except OSError as error:
        raise _storage_error(final, error) from error
    try:
        yield part
        _put_in_place(part, final, is_complete)
    except OSError as error:
        raise _storage_error(final, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def full_disk_as_os_error() -> Iterator[None]:
    """While MLX writes a file: what it calls a RuntimeError is mostly a disk that filled up after all."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(str(error)) from error


def _new_part(final: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"{final.name}{_PART}{os.getpid()}-", dir=final.parent))


def _put_in_place(part: Path, final: Path, is_complete: Callable[[Path], bool]) -> None:
    if is_complete(final):
        return
    aside = None
    if final.exists():
        # A damaged or outdated folder cannot be replaced in one step, because a rename wants an empty place.
        aside = _new_part(final)
        final.rename(aside / final.name)
    try:
        part.rename(final)
    except OSError:
        if not is_complete(final):  # Another process was first: its folder serves as well.
            raise
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


def _remove_abandoned(final: Path) -> None:
    """Remove what a killed process left: parts of `final` whose process no longer runs."""
    beginning = f"{final.name}{_PART}"
    for path in final.parent.iterdir():
        pid = path.name.removeprefix(beginning).partition("-")[0]
        if path.name.startswith(beginning) and not (pid.isdigit() and psutil.pid_exists(int(pid))):
            shutil.rmtree(path, ignore_errors=True)


def _storage_error(final: Path, error: OSError) -> StorageError:
    reason = (error.strerror or str(error)).lower()
    return StorageError(f"{final.name} cannot be written to {final.parent} ({reason}).", details=repr(error))
