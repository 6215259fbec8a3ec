"""The screenshot driver draws six different pictures of a window that answered."""

from pathlib import Path

import pytest
from PySide6.QtGui import QImage

from app import screenshots
from app.views.main_window import MainWindow


def test_every_picture_is_drawn(window: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screenshots, "SETTLE_S", 0.05)
    window.resize(*screenshots.SIZE)
    screenshots.draw_all(window, tmp_path, example=0, seed=7)
    pictures = {path.stem: QImage(str(path)) for path in tmp_path.glob("*.png")}
    assert set(pictures) == {"empty-light", "chat-light", "chat-dark", "tokens-light", "tokens-dark", "small-dark"}
    assert pictures["chat-light"].size().toTuple() == screenshots.SIZE
    assert pictures["chat-light"].pixelColor(5, 300).lightness() > 200
    assert pictures["chat-dark"].pixelColor(5, 300).lightness() < 60
    assert pictures["chat-light"] != pictures["tokens-light"] != pictures["empty-light"]
