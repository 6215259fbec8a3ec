"""`lookahead://` links: a question into the composer, never sent; and where the app was started from."""

from pathlib import Path
from urllib.parse import quote

import pytest
from PySide6.QtCore import QUrl
from PySide6.QtGui import QFileOpenEvent
from pytestqt.qtbot import QtBot

from app.engine.process import EngineProcess
from app.store import Store
from app.window.application import Application
from app.window.links import LONGEST, LinkError, asked_text, is_link
from app.window.memory import WindowMemory
from app.window.place import place_problem
from app.window.workspace import Workspace


@pytest.mark.parametrize(
    ("link", "text"),
    [
        ("lookahead://ask?text=Why%20is%20the%20sky%20blue%3F", "Why is the sky blue?"),
        ("LOOKAHEAD://Ask/?text=Gr%C3%BC%C3%9Fe%0Azwei", "Grüße\nzwei"),
        ("lookahead://ask?text=a+b&from=page", "a b"),
    ],
)
def test_a_question(link: str, text: str) -> None:
    assert is_link(link)
    assert asked_text(link) == text


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("lookahead://ask", "no question"), ("lookahead://ask?text=%20%00", "no question"),
        ("lookahead://delete?text=x", "does not know"), ("lookahead://ask/send?text=x", "does not know"),
        (f"lookahead://ask?text={'x' * (LONGEST + 1)}", "attach a file"), ("lookahead://[?text=x", "no link"),
        ("lookahead://ask?" + "a=1&" * 9, "no link"),
    ],
)  # fmt: skip
def test_what_is_not_followed_says_why(link: str, why: str) -> None:
    with pytest.raises(LinkError, match=why):
        asked_text(link)


@pytest.mark.parametrize("path", ["/a/lookahead:", "lookahead.md", "http://ask?text=x", ""])
def test_paths_and_other_links_are_none(path: str) -> None:
    assert not is_link(path)


class TestInTheWindow:
    @pytest.fixture
    def workspace(self, make_engine: object, qtbot: QtBot, tmp_path: Path) -> Workspace:
        workspace = Workspace(EngineProcess(), WindowMemory(tmp_path / "window.ini"), Store(None))
        qtbot.addWidget(workspace.new_window())
        return workspace

    def test_the_system_opens_one_and_it_is_not_sent(self, workspace: Workspace, qapp: Application) -> None:
        (window,) = workspace.windows
        window.composer.set_text("half a thought")
        qapp.event(QFileOpenEvent(QUrl(f"lookahead://ask?text={quote('50% ä?')}")))
        assert window.composer.text == "50% ä?"
        assert window.chat.conversation.turns == []
        assert window.composer.field.history.older("50% ä?") == "half a thought", "what was written is not lost"

    def test_one_that_is_not_followed_is_told(self, workspace: Workspace) -> None:
        workspace.open_link("lookahead://erase?text=x")
        (window,) = workspace.windows
        assert window.composer.text == ""
        assert window.banner.isVisibleTo(window)

    def test_another_version_is_told(self, workspace: Workspace) -> None:
        workspace.tell_version("0.1.0", "0.2.0")
        (window,) = workspace.windows
        assert window.banner.isVisibleTo(window)


@pytest.mark.parametrize(
    "program",
    [
        "/Volumes/Lookahead/Lookahead.app/Contents/MacOS/lookahead",
        "/private/var/folders/x/T/AppTranslocation/1-2/d/Lookahead.app/Contents/MacOS/lookahead",
    ],
)
def test_from_the_disk_image_it_says_where_it_belongs(program: str) -> None:
    problem = place_problem(Path(program))
    assert problem is not None
    assert "Applications" in problem.advice


@pytest.mark.parametrize("program", ["/Applications/Lookahead.app/Contents/MacOS/lookahead", "/usr/bin/python3"])
def test_elsewhere_it_says_nothing(program: str) -> None:
    assert place_problem(Path(program)) is None
