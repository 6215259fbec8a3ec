"""Importing models one after the other, and giving up."""

from pathlib import Path

from pytestqt.qtbot import QtBot

from app.models.importing import ModelImport


def test_who_hears_that_it_begins_may_stop_it(qtbot: QtBot, tmp_path: Path) -> None:
    asked: list[str] = []
    importing = ModelImport(lambda path: asked.append(path) or ["true"])
    importing.started.connect(importing.stop)
    importing.add([tmp_path / "a.gguf", tmp_path / "b.gguf"])
    assert (importing.path, asked) == (None, []), "nothing was begun, and nothing waits"
