"""A person is asked before models are loaded that need more memory than there is; a script is refused."""

import functools
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlx_spec.cli.terminal.options import Anyway
from mlx_spec.errors import DoesNotFitError

if TYPE_CHECKING:
    from mlx_spec.cli.terminal.progress import StageProgress
    from mlx_spec.models.loading import ModelPair
    from mlx_spec.models.room import PairRoom

_TargetFolder = Annotated[Path, typer.Option(help="The target: a folder in mlx-lm's layout.")]


def load_with_consent(
    target: str, draft: str | None, progress: "StageProgress", *, anyway: bool, kv_bits: int | None = None
) -> "ModelPair":
    """`load_pair`; what does not fit only when a person at a terminal says so, or `anyway`. Raises as that does."""
    from mlx_spec.models.loading import load_folders
    from mlx_spec.models.named import find_folders
    from mlx_spec.models.room import room_of

    folders = find_folders(target, draft, progress.tell)
    room = room_of(folders.target, folders.draft, folders.heads, kv_bits=kv_bits)
    if _ask(room, folders.target.name, anyway=anyway, pause=progress.pause):
        folders = find_folders(target, draft, progress.tell)  # files may change while a person thinks
    return load_folders(folders, room, progress.tell)


def with_target(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that learns from a target the options `--target` and `--anyway`, and in the place of its parameter
    `target` the ModelFolder: asked for first, as above. Training takes more than the target: this is the least.

    The command then raises DoesNotFitError; what else is wrong with the folder is told by who loads it.
    """

    @functools.wraps(command)
    def called(target: Path, anyway: bool, **values: Any) -> None:
        from mlx_spec.models.folder import ModelFolder

        folder = ModelFolder.at(target)
        if folder.written is not None:
            from mlx_spec.models.room import room_of

            _ask(room_of(folder), folder.name, anyway=anyway)
        command(target=folder, **values)

    shown = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(command).parameters.values()
    ]
    shown = [one.replace(annotation=_TargetFolder) if one.name == "target" else one for one in shown]
    insists = inspect.Parameter("anyway", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Anyway)
    last = next((at for at, one in enumerate(shown) if one.name == "as_json"), len(shown))
    called.__signature__ = inspect.Signature([*shown[:last], insists, *shown[last:]])  # type: ignore[attr-defined]
    return called


def _ask(room: "PairRoom | None", name: str, *, anyway: bool, pause: Callable[[], None] = lambda: None) -> bool:
    """Whether a person was asked if models called `name` may be loaded, and said yes; False where nobody had to be.
    Raises DoesNotFitError, or typer.Abort where they say no."""
    if room is None or anyway:
        return False
    try:
        room.check(name)
    except DoesNotFitError as error:
        if not _is_asked():
            raise
        pause()
        typer.confirm(f"{error} Load it?", abort=True, err=True)
        return True
    return False


def _is_asked() -> bool:
    """Whether a person is there to answer."""
    return sys.stdin.isatty()
