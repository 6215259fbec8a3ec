"""`python -m app.screenshots FOLDER`: drives the real window with the real engine and draws it, no display needed."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.views.main_window import MainWindow

SIZE = (1280, 800)
SMALL = (600, 640)
START_S = 300.0  # a first start measures plain decoding and compiles
ANSWER_S = 300.0
SETTLE_S = 0.4


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pictures; returns 0, or 1 when the engine failed or an answer did not come."""
    parser = argparse.ArgumentParser(prog="app.screenshots", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs/screenshots"))
    parser.add_argument("--example", type=int, default=3, help="which example prompt of the welcome page is asked")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.setdefault("QT_SCALE_FACTOR", "2")
    os.environ["LOOKAHEAD_THEME"] = "light"
    try:
        draw(options.folder, options.example, options.seed)
    except TimeoutError as error:
        sys.stderr.write(f"screenshots: {error}\n")
        return 1
    return 0


def draw(folder: Path, example: int, seed: int) -> None:
    """Ask one example prompt and draw the window on the way. Raises TimeoutError when something does not come."""
    from PySide6.QtWidgets import QApplication

    from app.assembly import build_window
    from app.window_memory import WindowMemory

    app = QApplication([])
    app.setStyle("Fusion")
    app.setCursorFlashTime(0)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as memory:
        window = build_window(memory=WindowMemory(Path(memory) / "window.ini"))
        window.resize(*SIZE)
        window.show()
        window.engine.start()
        try:
            draw_all(window, folder, example, seed)
        finally:
            window.close()


def draw_all(window: "MainWindow", folder: Path, example: int, seed: int) -> None:
    """Draw the empty window, the answer and its tokens in light and dark, and a small window."""
    _wait("the engine", lambda: bool(window.chat.can_send("?") or window.banner.problem), START_S)
    _refuse_problems(window)
    _save(window, folder / "empty-light.png")
    window.bar.use_seed(seed)
    window.welcome.cards[example].click()
    _wait("the answer", lambda: not window.chat.is_busy, ANSWER_S)
    _refuse_problems(window)
    for appearance in ("light", "dark"):
        window.choose_appearance(appearance)
        window.chat_view.answers[-1].switch.choose(0)
        _save(window, folder / f"chat-{appearance}.png")
        window.toggle_tokens()
        _save(window, folder / f"tokens-{appearance}.png")
    window.resize(*SMALL)
    _save(window, folder / "small-dark.png")


def _refuse_problems(window: "MainWindow") -> None:
    if (problem := window.banner.problem) is not None:
        raise TimeoutError(f"{problem.title} {problem.advice}\n{problem.details}")


def _save(window: "MainWindow", path: Path) -> None:
    _wait("", lambda: False, SETTLE_S)
    window.chat_view.verticalScrollBar().setValue(0)
    _wait("", lambda: False, SETTLE_S)
    window.grab().save(str(path))
    sys.stderr.write(f"{path}\n")


def _wait(what: str, is_done: Callable[[], bool], limit_s: float) -> None:
    """Run Qt until `is_done`. Past the limit it raises, where there is something to name."""
    from PySide6.QtCore import QEventLoop
    from PySide6.QtWidgets import QApplication

    started = time.monotonic()
    while not is_done():
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 20)
        time.sleep(0.005)
        if time.monotonic() - started > limit_s:
            if what:
                raise TimeoutError(f"{what} did not come within {limit_s:g} s.")
            return


if __name__ == "__main__":
    sys.exit(main())
