"""The screenshot driver plays every scene on a window that answers."""

from pathlib import Path

import pytest
from PySide6.QtGui import QImage

from app.scenes import SCENES, screenshots
from app.scenes.stage import SIZE, Stage
from app.window.frame import MainWindow


@pytest.fixture
def stage(window: MainWindow, tmp_path: Path) -> Stage:
    """The stand-in's window, hardly waiting."""
    return Stage(window, tmp_path, example=0, settle_s=0.05)


def pictures(folder: Path) -> dict[str, QImage]:
    return {path.stem: QImage(str(path)) for path in folder.glob("*.png")}


def test_the_conversation_is_drawn(stage: Stage, tmp_path: Path) -> None:
    for scene in ("empty", "answer"):
        screenshots.play(stage, scene)
    drawn = pictures(tmp_path)
    assert set(drawn) == {"empty-light", "chat-light", "chat-dark", "tokens-light", "tokens-dark", "small-dark"}
    assert drawn["chat-light"].size().toTuple() == SIZE
    assert drawn["chat-light"].pixelColor(5, 300).lightness() > 200
    assert drawn["chat-dark"].pixelColor(5, 300).lightness() < 60
    assert drawn["chat-light"] != drawn["tokens-light"] != drawn["empty-light"]


def test_a_prompt_known_but_for_its_end_is_drawn(stage: Stage, tmp_path: Path) -> None:
    screenshots.play(stage, "known-prompt")
    assert set(pictures(tmp_path)) == {"known-prompt-light", "known-prompt-dark", "known-prompt-small-dark"}
    assert stage.window.chat_view.answers[-1].reading.known_share == 0.75
    assert "read 43 of 2,051 tokens" in stage.window.footer._figures["rate"].toolTip()


def test_the_page_of_requests_is_drawn_with_the_steps_that_the_scene_tells(stage: Stage, tmp_path: Path) -> None:
    screenshots.play(stage, "requests")
    drawn = pictures(tmp_path)
    assert set(drawn) == {"requests-light", "requests-dark", "requests-small-dark", "requests-empty-dark"}
    assert drawn["requests-small-dark"] != drawn["requests-empty-dark"]


def test_the_page_of_several_macs_is_drawn(stage: Stage, tmp_path: Path) -> None:
    screenshots.play(stage, "machines")
    drawn = pictures(tmp_path)
    names = {"empty-light", "code-dark", "group-dark", "group-light", "small-dark"}
    assert set(drawn) == {f"machines-{name}" for name in names}
    assert drawn["machines-group-light"] != drawn["machines-empty-light"]


def test_no_two_scenes_have_one_name() -> None:
    names = [scene.name for scene in SCENES]
    assert len(names) == len(set(names))
