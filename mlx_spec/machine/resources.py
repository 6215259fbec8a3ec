"""Where the engine's own files and its user's files lie: the only module that knows."""

import os
import sys
import tempfile
from pathlib import Path

import platformdirs

from mlx_spec.errors import LookaheadError, StorageError

APP_NAME = "Lookahead"
HOME_VARIABLE = "LOOKAHEAD_HOME"


def resources_folder() -> Path:
    """Return `resources/`, which holds the starter draft, the licences and the sample prompts.

    It stands beside the packages in a checkout, inside `mlx_spec` in an installed wheel, and in either place
    below `sys._MEIPASS` in a PyInstaller bundle.

    Raises LookaheadError when an installation has lost it.
    """
    package = Path(__file__).resolve().parents[1]
    places = [package / "resources", package.parent / "resources"]
    bundle = getattr(sys, "_MEIPASS", None)
    if bundle is not None:
        places = [Path(bundle) / "mlx_spec" / "resources", Path(bundle) / "resources", *places]
    for place in places:
        # Some other project's `resources/` may stand beside an installed package: ours holds the licences.
        if (place / "LICENSES").is_dir():
            return place
    raise LookaheadError("The app's own resources folder is missing, so please install Lookahead again.")


def data_folder() -> Path:
    """Return the folder for imported models and other user data, made if it is not there yet.

    It is `$LOOKAHEAD_HOME` when that is set, else the platform's folder for an app's data.

    Raises StorageError when it cannot be made or written to.
    """
    chosen = os.environ.get(HOME_VARIABLE)
    folder = Path(chosen).expanduser() if chosen else Path(platformdirs.user_data_dir(APP_NAME, appauthor=False))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Asking is not enough: os.access says yes to root, and on a read-only mount it may lie.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StorageError(
            f"The data folder {folder} cannot be written to ({reason}), so make it writable or point"
            f" {HOME_VARIABLE} at another folder.",
            details=repr(error),
        ) from error
    return folder
