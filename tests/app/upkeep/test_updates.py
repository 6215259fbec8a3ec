"""Whether there is a newer version: asked of a feed on the loopback address, and only where somebody agreed."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from nacl.signing import SigningKey
from pytestqt.qtbot import QtBot

from app.upkeep import Source, UpdatesViewModel
from app.window.memory import WindowMemory
from tests.app.upkeep.publisher import PUBLIC_KEY, Published, feed, publishing


@pytest.fixture(scope="module")
def server() -> Iterator[Published]:
    """One for the file."""
    with publishing() as published:
        yield published


@pytest.fixture
def published(server: Published) -> Published:
    """It announces 0.3.0."""
    server.body, server.status = feed("0.3.0", notes="- faster"), 200
    server.asked.clear()
    return server


class Heard:
    """The signals of a view model."""

    def __init__(self, updates: UpdatesViewModel) -> None:
        self.found: list[str] = []
        self.told: list[str] = []
        updates.found.connect(lambda release: self.found.append(release.version))
        updates.told.connect(self.told.append)


@pytest.fixture
def memory(tmp_path: Path) -> WindowMemory:
    return WindowMemory(tmp_path / "window.ini")


@pytest.fixture
def updates(memory: WindowMemory, published: Published, qtbot: QtBot) -> UpdatesViewModel:
    return UpdatesViewModel(memory, Source(published.address, PUBLIC_KEY), "0.2.0")


def settled(updates: UpdatesViewModel, qtbot: QtBot) -> None:
    """The fetch under way has ended, in whichever way."""
    qtbot.waitUntil(lambda: updates._fetcher._reply is None, timeout=5_000)


def test_nobody_is_asked_until_somebody_agreed(updates: UpdatesViewModel, published: Published, qtbot: QtBot) -> None:
    updates.begin()
    assert not updates.agreed
    assert updates._fetcher._network is None, "not even prepared"
    with qtbot.waitSignal(updates.found, timeout=5_000) as found:
        updates.agree(True)
    assert found.args[0].version == "0.3.0"
    assert len(published.asked) == 1


def test_the_question_says_nothing_of_who_asks(updates: UpdatesViewModel, published: Published, qtbot: QtBot) -> None:
    with qtbot.waitSignal(updates.found, timeout=5_000):
        updates.ask()
    (headers,) = published.asked
    assert headers["User-Agent"] == "Lookahead"
    assert headers.keys() <= {"Host", "User-Agent", "Accept-Encoding", "Accept-Language", "Connection"}
    assert headers.get("Accept-Language", "en,*").startswith("en")


def test_once_a_day(updates: UpdatesViewModel, memory: WindowMemory, published: Published, qtbot: QtBot) -> None:
    memory.looks_for_updates, memory.update_asked_s = True, time.time() - 3_600
    updates.begin()
    assert updates._fetcher._reply is None
    for asked_s in (time.time() - 90_000, time.time() + 1e9):  # yesterday; with a clock that was ahead
        memory.update_asked_s = asked_s
        with qtbot.waitSignal(updates.found, timeout=5_000):
            updates.begin()
    assert time.time() - memory.update_asked_s < 60
    assert len(published.asked) == 2


@pytest.mark.parametrize(
    ("body", "status", "line"),
    [
        (feed("0.3.0", key=SigningKey(bytes(32))), 200, "not signed"),
        (feed("0.1.0"), 200, "newest"),
        (b"<html>", 200, "not signed"),
        (b"", 404, "did not answer"),
        (b"x" * 200_000, 200, "not"),  # read and refused, or given up: the network decides
    ],
    ids=["wrong signature", "older", "no feed", "gone", "too large"],
)
def test_by_itself_it_is_silent_and_asked_by_hand_it_says_one_line(
    updates: UpdatesViewModel, published: Published, qtbot: QtBot, body: bytes, status: int, line: str
) -> None:
    published.body, published.status, heard = body, status, Heard(updates)
    updates.agree(True)
    settled(updates, qtbot)
    assert published.asked
    assert (heard.found, heard.told) == ([], [])
    updates.ask()
    settled(updates, qtbot)
    assert heard.found == []
    assert len(heard.told) == 1
    assert line in heard.told[0]


def test_without_a_network_too(memory: WindowMemory, qtbot: QtBot) -> None:
    with publishing() as gone:
        source = Source(gone.address, PUBLIC_KEY)
    updates = UpdatesViewModel(memory, source, "0.2.0")
    heard = Heard(updates)
    updates.agree(True)
    settled(updates, qtbot)
    assert (heard.found, heard.told) == ([], [])
    assert memory.update_asked_s == 0, "it is tried again when there is a network"
    with qtbot.waitSignal(updates.told, timeout=5_000) as told:
        updates.ask()
    assert "did not answer" in told.args[0]


def test_a_skipped_version_is_told_only_to_who_asks(
    updates: UpdatesViewModel, published: Published, qtbot: QtBot
) -> None:
    heard = Heard(updates)
    with qtbot.waitSignal(updates.found, timeout=5_000) as found:
        updates.ask()
    updates.skip(found.args[0])
    updates._memory.update_asked_s = 0.0
    updates.agree(True)
    settled(updates, qtbot)
    assert heard.found == ["0.3.0"]
    published.body = feed("0.4.0")
    updates._memory.update_asked_s = 0.0
    updates.begin()
    settled(updates, qtbot)
    assert heard.found == ["0.3.0", "0.4.0"]


def test_a_copy_without_a_feed_asks_nobody_and_says_so(memory: WindowMemory, qtbot: QtBot) -> None:
    memory.looks_for_updates = True
    updates = UpdatesViewModel(memory, None, "0.2.0")
    heard = Heard(updates)
    updates.begin()
    assert not updates.agreed
    assert heard.told == []
    updates.ask()
    assert "without a place" in heard.told[0]
