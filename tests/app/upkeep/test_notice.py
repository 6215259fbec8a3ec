"""The quiet line, what is new, and the box: what is seen of newer versions in a window."""

from pathlib import Path

import pytest
from PySide6.QtGui import QDesktopServices
from pytestqt.qtbot import QtBot

from app.look.theme import DARK, LIGHT
from app.upkeep import Release, Source, UpdatesViewModel
from app.upkeep.views import NewsDialog, UpdateConsent
from app.window.frame import MainWindow
from app.window.memory import WindowMemory
from tests.app.upkeep.publisher import PUBLIC_KEY

RELEASE = Release("9.0.0", "## New\n\n- <b>bold</b> claims\n", "https://example.org/lookahead", "2026-12-01")


def test_a_newer_version_is_one_line_and_its_page_opens_in_the_browser(
    window: MainWindow, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()) or True)
    updates, notice = window.upkeep.updates, window.upkeep.notice
    assert not notice.isVisible()
    window.menus.action("look-for-version").trigger()
    assert "without a place" in notice.text.text()
    assert not notice.news.isVisible()
    updates.found.emit(RELEASE)
    assert notice.text.text() == "Lookahead 9.0.0 is out."
    notice.news.click()
    dialog = window.findChild(NewsDialog)
    assert "bold" in dialog.notes.toPlainText()
    assert "<b>" in dialog.notes.toPlainText(), "markup is shown, not believed"
    assert opened == [], "nothing by itself"
    dialog.download.click()
    assert opened == [RELEASE.page]
    window.upkeep.show_news(RELEASE)
    window.findChildren(NewsDialog)[-1].skip.click()
    assert window.memory.update_skipped == "9.0.0"
    assert not notice.isVisible()
    window.banner.remedy_chosen.emit("report")
    assert opened[-1].startswith("file://")
    assert window.upkeep.reports.path.is_dir()


def test_the_box_agrees_and_takes_it_back(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = WindowMemory(tmp_path / "window.ini")
    updates = UpdatesViewModel(memory, Source("https://example.invalid/u", PUBLIC_KEY), "1.0")
    asked: list[str] = []
    monkeypatch.setattr(updates._fetcher, "fetch", asked.append)
    first, second = UpdateConsent(updates, LIGHT), UpdateConsent(updates, DARK)
    for consent in (first, second):
        qtbot.addWidget(consent)
        assert consent.box.isEnabled()
        assert not consent.box.isChecked()
    first.box.click()
    assert second.box.isChecked(), "the settings' box shows it too"
    assert memory.looks_for_updates
    assert asked == ["https://example.invalid/u"]
    second.box.click()
    assert not first.box.isChecked()
    assert not memory.looks_for_updates
