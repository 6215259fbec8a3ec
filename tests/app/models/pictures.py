"""Draws the models window in all its states: `python -m tests.app.models.pictures FOLDER`. No display is needed."""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["LOOKAHEAD_THEME"] = "light"

from PySide6.QtWidgets import QWidget

from app.engine.model_records import Judgement
from app.engine.process import EngineState
from app.models.views.window import FIND, INSTALLED, ModelsWindow
from app.scenes.stage import Stage
from app.window.application import Application
from tests.app.models.stage import DRAFT, GATED, HEAVY, HUGE, LONG, OTHER, SMALL, STRANGE, window_with_hub
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub

WAIT_S = 60.0


class Pictures:
    """The stage, the models' window and the Hub."""

    def __init__(self, stage: Stage, hub: LoopbackHub) -> None:
        self.stage, self.hub = stage, hub
        self.window: ModelsWindow = stage.window.models.models_window
        self.models = self.window.models

    def until(self, what: str, is_done: Callable[[], object]) -> None:
        """Wait for something."""
        self.stage.until(what, lambda: bool(is_done()), WAIT_S)

    def search(self, text: str) -> None:
        """Search and wait."""
        self.window.tabs.choose(FIND)
        self.window.field.setText(text)
        self.models.search(text, at_once=True)
        self.until("the search", lambda: not self.models.is_searching)

    def choose(self, title: str) -> None:
        """Choose a line and wait until it is judged."""
        self.window.list.choose(title)
        choice = self.models.choice
        assert choice is not None
        self.until("the judgement", lambda: all(name in self.models.judgements for name in choice.names))

    def state_of(self, name: str) -> str:
        """The state of a download."""
        download = self.models.download_of(name)
        return download.state if download else ""

    def save(self, name: str, widget: QWidget | None = None) -> None:
        """Draw the models' window, or a dialog of it."""
        self.stage.save(name, widget or self.window)

    def both(self, name: str) -> None:
        """Draw it light and dark."""
        for appearance in ("dark", "light"):
            self.stage.choose_appearance(appearance)
            self.save(f"{name}-{appearance}")


def draw(pictures: Pictures) -> None:
    """Every state, in the order in which a person comes to them."""
    stage, window, models, hub = pictures.stage, pictures.window, pictures.models, pictures.hub
    stage.window.models.show()
    pictures.until("the pairs", lambda: models.findings)
    pictures.choose("qwen3-8b")
    pictures.both("models-pair")
    window.tabs.choose(INSTALLED)
    pictures.save("models-installed-empty")
    pictures.search("huge")
    pictures.choose("Huge")
    judged = models.judgements[HUGE]
    assert isinstance(judged, Judgement)
    pictures.save("models-hub")
    pictures.search("strange")
    pictures.choose("Strange")
    pictures.save(f"models-{STRANGE.partition('/')[2]}")
    pictures.search("uncommonly")
    pictures.choose(window.list.entries[-1].title)
    assert models.choice is not None
    assert models.choice.target == LONG
    pictures.save("models-long-name")
    pictures.search("mlx-community/Qwen3-8B-4bti")
    pictures.save("models-near")
    _draw_downloads(pictures)
    _draw_installed(pictures)
    window.resize(480, 640)
    pictures.search("qwen3")
    pictures.choose("qwen3-8b")
    pictures.save("models-small")
    window.resize(980, 720)
    stage.window.theme.set_scale(1.5)
    pictures.save("models-large-text")
    stage.window.theme.set_scale(1.0)
    hub.faults = [Fault("status", "/api/models", times=50, status=503)]
    models.search("qwen", at_once=True)
    pictures.until("the search", lambda: not models.is_searching)
    pictures.save("models-offline")
    stage.window.engine.stop()
    models.open()
    pictures.until("the end", lambda: models.refusal is not None)
    pictures.save("models-engine-gone")


def _draw_downloads(pictures: Pictures) -> None:
    window, models, hub = pictures.window, pictures.models, pictures.hub
    pictures.search("qwen3")
    pictures.choose("Qwen3-8B")
    pictures.save("models-quantisations")
    hub.bytes_per_second = 6_000_000
    pictures.choose("qwen3-8b")
    window.detail.buttons["download"].click()
    pictures.until("some bytes", lambda: (one := models.download_of(HEAVY)) and one.speed_bytes_s and one.left_s)
    pictures.both("models-downloading")
    models.client.change_download(HEAVY, "pause")
    pictures.until("the pause", lambda: pictures.state_of(HEAVY) == "paused")
    models.client.change_download(DRAFT, "cancel")
    models.client.download(GATED)
    pictures.until("the refusal", lambda: pictures.state_of(GATED) == "failed")
    pictures.search("secret")
    pictures.choose("Secret")
    pictures.save("models-gated")
    window.ask_for_token()
    pictures.save("models-token", window.question)
    window.question.reject()
    hub.bytes_per_second = None
    for name in (GATED,):
        models.client.forget_download(name)
    models.client.change_download(HEAVY, "cancel")
    pictures.until("the end", lambda: pictures.state_of(HEAVY) == "cancelled")
    for name in (HEAVY, DRAFT):
        models.client.forget_download(name)
    models.client.download(OTHER)
    models.client.download(SMALL)
    for name in (OTHER, SMALL):
        pictures.until(name, lambda name=name: pictures.state_of(name) == "done")


def _draw_installed(pictures: Pictures) -> None:
    window, models = pictures.window, pictures.models
    window.tabs.choose(INSTALLED)
    window.field.clear()
    pictures.until("the stock", lambda: len(models.stock.models) == 2)
    pictures.choose(SMALL)
    models.verify(SMALL)
    pictures.until("the check", lambda: not models.verifying)
    pictures.both("models-installed")
    window.detail.buttons["delete"].click()
    pictures.until("the question", lambda: window.question is not None)
    pictures.save("models-delete", window.question)
    window.question.reject()
    window.detail.buttons["use"].click()
    pictures.until("loading", lambda: window.load_words.text())
    pictures.save("models-loading")
    engine = pictures.stage.window.engine
    pictures.until("the model", lambda: engine.state is EngineState.READY)
    pictures.save("models-in-use")


def main(folder: Path) -> None:
    """Draw into `folder`."""
    app = Application(sys.argv[:1])
    app.setStyle("Fusion")
    app.setCursorFlashTime(0)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as kept, window_with_hub(Path(kept)) as (window, hub):
        stage = Stage(window, folder)
        stage.until("the engine", lambda: window.engine.state is EngineState.READY, 120.0)
        stage.clear()
        draw(Pictures(stage, hub))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
