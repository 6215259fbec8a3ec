"""A person is asked before models are loaded that need more memory than there is; a script is refused."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from mlx_spec.errors import DoesNotFitError

if TYPE_CHECKING:
    from mlx_spec.cli.terminal.progress import StageProgress
    from mlx_spec.models.loading import ModelPair

T = TypeVar("T")


def load_with_consent(target: str, draft: str | None, progress: "StageProgress", *, anyway: bool) -> "ModelPair":
    """`load_pair`; what does not fit only when a person at a terminal says so, or `anyway`. Raises as that does."""
    from mlx_spec.models.loading import load_pair

    return _with_consent(
        lambda sure: load_pair(target, draft, anyway=sure, progress=progress.tell), anyway, progress.pause
    )


def check_target(folder: Path, *, anyway: bool) -> None:
    """Whether a target to learn from fits, as above. Training takes more than it: this is the least.

    Raises DoesNotFitError; what else is wrong with the folder is told by who loads it.
    """
    from mlx_spec.models.folder import read_config
    from mlx_spec.models.room import ModelPlace, check_room

    if (folder / "config.json").is_file():
        place = ModelPlace(folder, read_config(folder))
        _with_consent(lambda sure: check_room(folder.name, [place], anyway=sure), anyway)


def _with_consent(work: Callable[[bool], T], anyway: bool, pause: Callable[[], None] = lambda: None) -> T:
    try:
        return work(anyway)
    except DoesNotFitError as error:
        if not _is_asked():
            raise
        pause()
        typer.confirm(f"{error} Load it?", abort=True, err=True)
        return work(True)


def _is_asked() -> bool:
    """Whether a person is there to answer."""
    return sys.stdin.isatty()
