"""Where scenes are played: the real window with an engine that is ready, and what a scene does with it."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.look.theme import Appearance

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from app.window.frame import MainWindow

SIZE = (1280, 800)
ANSWER_S = 300.0
LONGEST_ANSWER = 96  # tokens: what is drawn shows no more, and a slow machine writes few in a second
SETTLE_S = 0.4


class Stage:
    """The window of a scene. It begins with an empty chat in light colours, `SIZE` large."""

    def __init__(
        self, window: "MainWindow", folder: Path, *, example: int = 3, seed: int = 7, settle_s: float = SETTLE_S
    ) -> None:
        self.window = window
        self.example, self.seed = example, seed
        self._folder, self._settle_s = folder, settle_s

    def clear(self) -> None:
        """Begin anew, as every scene does."""
        window = self.window
        window.resize(*SIZE)
        window.choose_appearance("light")
        window.chat.start_over()
        window.composer.set_text("")
        window.banner.clear()
        window.chat.settings = replace(window.chat.settings, max_tokens=LONGEST_ANSWER, seed=self.seed)
        window.bar.show_settings(window.chat.settings)

    def choose_appearance(self, appearance: Appearance) -> None:
        """Put on light or dark."""
        self.window.choose_appearance(appearance)

    def ask_example(self) -> None:
        """Press an example's card and wait for the answer. Raises TimeoutError, also where a problem was told."""
        self.window.welcome.cards[self.example].click()
        self.wait_for_answer()

    def ask(self, text: str) -> None:
        """Ask `text` and wait for the answer. Raises TimeoutError, also where a problem was told."""
        self.window.ask(text)
        self.wait_for_answer()

    def wait_for_answer(self) -> None:
        """Let the answer under way be finished."""
        self.until("the answer", lambda: not self.window.chat.is_busy, ANSWER_S)
        self.refuse_problems()

    def refuse_problems(self) -> None:
        """A picture of an accident is none: raises TimeoutError where the banner shows."""
        if (problem := self.window.banner.problem) is not None:
            raise TimeoutError(f"{problem.title} {problem.advice}\n{problem.details}")

    def save(self, name: str, widget: "QWidget | None" = None, *, from_top: bool = True) -> None:
        """Draw the window, or a dialog of it, as `NAME.png`, the conversation scrolled to its beginning."""
        self.settle()
        if from_top:
            self.window.chat_view.verticalScrollBar().setValue(0)
            self.settle()
        path = self._folder / f"{name}.png"
        (widget or self.window).grab().save(str(path))
        sys.stderr.write(f"{path}\n")

    def settle(self) -> None:
        """Let timers run and layouts come to rest."""
        self.until("", lambda: False, self._settle_s)

    def until(self, what: str, is_done: Callable[[], bool], limit_s: float) -> None:
        """Run Qt until `is_done`. Past the limit it raises TimeoutError, where there is something to name."""
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


@dataclass(frozen=True, slots=True)
class Scene:
    """What `--only` calls it, and how it is played."""

    name: str
    play: Callable[[Stage], None]
