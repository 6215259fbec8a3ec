"""`python -m app.scenes.screenshots FOLDER`: draws the real window with the real engine, no display needed."""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from app.scenes import SCENES
from app.scenes.stage import SIZE, Stage

if TYPE_CHECKING:
    from app.window.frame import MainWindow

START_S = 300.0  # a first start measures plain decoding and compiles


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pictures; returns 0, or 1 when the engine failed or an answer did not come."""
    parser = argparse.ArgumentParser(prog="app.scenes.screenshots", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs/screenshots"))
    parser.add_argument("--example", type=int, default=3, help="which example prompt of the welcome page is asked")
    parser.add_argument("--seed", type=int, default=7)
    names = ", ".join(scene.name for scene in SCENES)
    parser.add_argument("--only", default="*", help=f"which scenes, as a pattern. There are: {names}")
    options = parser.parse_args(arguments)
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.setdefault("QT_SCALE_FACTOR", "2")
    os.environ["LOOKAHEAD_THEME"] = "light"
    try:
        draw(options)
    except TimeoutError as error:
        sys.stderr.write(f"screenshots: {error}\n")
        return 1
    return 0


def draw(options: argparse.Namespace) -> None:
    """Open a window of its own and play the scenes. Raises TimeoutError when something does not come."""
    from PySide6.QtWidgets import QApplication

    from app.store import Store
    from app.window.memory import WindowMemory
    from app.window.workspace import build_window

    app = QApplication([])
    app.setStyle("Fusion")
    app.setCursorFlashTime(0)
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as memory:
        store = Store(Path(memory) / "chats.sqlite3")
        window = build_window(memory=WindowMemory(Path(memory) / "window.ini"), store=store)
        window.resize(*SIZE)
        window.show()
        window.engine.start()
        try:
            play(Stage(window, options.folder, example=options.example, seed=options.seed), options.only)
        finally:
            window.close()


def play(stage: Stage, only: str = "*") -> None:
    """Play the scenes whose names match `only`, each in an empty chat."""
    window: MainWindow = stage.window
    stage.until("the engine", lambda: bool(window.chat.can_send("?") or window.banner.problem), START_S)
    stage.refuse_problems()
    for scene in SCENES:
        if fnmatch(scene.name, only):
            stage.clear()
            scene.play(stage)


if __name__ == "__main__":
    sys.exit(main())
