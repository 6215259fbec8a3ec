"""What happens to the chats when the file is held, broken, newer, or out of reach."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from app.engine.request import Settings
from app.store import Store, StoreError
from app.store.migrations import MIGRATIONS, migrate
from app.store.tree import conversation_of
from tests.app.store.test_store import add_turn


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chats.sqlite3"


def fill(path: Path, num_chats: int = 40) -> None:
    store = Store(path)
    for number in range(num_chats):
        chat = store.chats.create(f"Chat {number}", Settings())
        add_turn(store, chat, f"question {number} " * 40, f"answer {number} " * 40)
    store.close()


def test_held_by_another_program(path: Path) -> None:
    fill(path, 1)
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match=f"Another program holds the chats in {path}") as refused:
        Store(path, busy_s=0.1)
    assert "locked" in refused.value.details
    other.close()
    store = Store(path)
    assert len(store.chats.all()) == 1
    store.close()


def test_held_for_a_while_nothing_is_lost(path: Path) -> None:
    store = Store(path)
    chat = store.chats.create("a", Settings())
    asked = store.messages.add_question(chat.id, None, "q")
    answered = store.messages.add_answer(chat.id, asked, seed=1)
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="could not be saved"):
        store.messages.append(answered, text="x")
    with pytest.raises(StoreError, match="could not be saved"):
        store.messages.close(answered, "x", "finished", [])
    other.rollback()
    store.messages.close(answered, "x", "finished", [])
    assert conversation_of(store.messages.of(chat.id)).turns[0].answer.text == "x"
    other.close()
    store.close()


def test_a_newer_versions_file_is_not_touched(path: Path) -> None:
    fill(path, 1)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="written by a newer Lookahead"):
        Store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("noise", [b"This is no database. " * 500, b""], ids=["text", "empty"])
def test_no_database_at_all_is_moved_aside(path: Path, noise: bytes) -> None:
    path.write_bytes(noise)
    store = Store(path)
    assert store.chats.all() == []
    if noise:
        assert store.damaged is not None
        assert store.damaged.read_bytes() == noise
    else:
        assert store.damaged is None, "an empty file is a new database"
    store.close()


def test_a_broken_page_costs_only_what_stood_on_it(path: Path) -> None:
    fill(path)
    connection = sqlite3.connect(path)
    connection.execute("INSERT OR REPLACE INTO note VALUES ('open', '1')")  # as a crash leaves it
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    data = bytearray(path.read_bytes())
    middle = data.rindex(b"question 20 question 20") // size * size
    data[middle : middle + size] = os.urandom(size)
    path.write_bytes(data)
    store = Store(path)
    assert store.damaged is not None
    assert store.damaged.is_file()
    chats = store.chats.all()
    assert len(chats) == 40, "the chats' own table was whole"
    assert store.num_saved >= 60, "of 80 messages, a page holds a few"
    texts = {message.text for chat in chats for message in store.messages.of(chat.id)}
    assert "question 0 " * 40 in texts
    assert "answer 39 " * 40 in texts
    assert store.search.find("question"), "the index is made anew"
    store.close()
    again = Store(path)
    assert again.damaged is None
    again.close()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be used"):
        Store(tmp_path / "file" / "chats.sqlite3")


def test_a_full_disk_is_told_and_what_was_kept_stays(path: Path) -> None:
    store = Store(path)
    chat = store.chats.create("a", Settings())
    (pages,) = store._session.read("PRAGMA page_count")[0]
    store._session.read(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreError, match="no room on the disk"):
        store.messages.add_question(chat.id, None, "x" * 500_000)
    store._session.read("PRAGMA max_page_count = 1000000")
    assert [found.title for found in store.chats.all()] == ["a"]
    store.messages.add_question(chat.id, None, "y")
    store.close()


def test_every_step_leads_from_a_shipped_version_to_this_one(path: Path) -> None:
    for version in range(len(MIGRATIONS)):
        old = path.with_name(f"version-{version}.sqlite3")
        connection = sqlite3.connect(old, isolation_level=None)
        for step in MIGRATIONS[:version]:
            step(connection)
        connection.execute(f"PRAGMA user_version = {version}")
        if version:
            connection.execute("INSERT INTO chat (title, created_at, updated_at) VALUES ('old', 1, 1)")
            connection.execute("INSERT INTO message (chat_id, role, text, created_at) VALUES (1, 'user', 'heron', 1)")
        connection.close()
        store = Store(old)
        assert [hit.chat.title for hit in store.search.find("heron")] == ["old"] * bool(version)
        store.close()


def test_a_step_that_fails_leaves_the_version_before(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half (a)")
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("app.store.migrations.MIGRATIONS", (*MIGRATIONS, broken))
    connection = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'half'").fetchall() == []
    connection.close()


KILLED = """
import os, sys
from pathlib import Path
from app.engine.request import Settings
from app.store import Store
store = Store(Path(sys.argv[1]))
chat = store.chats.create("a", Settings())
answer = store.messages.add_answer(chat.id, store.messages.add_question(chat.id, None, "q"), seed=1)
for number in range(int(sys.argv[2])):
    store.messages.append(answer, wire="{}", text=f"{number} ")
    store.flush()
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("num_rounds", [0, 1, 57])
def test_a_killed_program_loses_no_finished_round(path: Path, num_rounds: int) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(path), str(num_rounds)], check=False)
    store = Store(path)
    (chat,) = store.chats.all()
    answer = conversation_of(store.messages.of(chat.id)).turns[0].answer
    assert answer.text == "".join(f"{number} " for number in range(num_rounds))
    assert (answer.state, answer.num_rounds) == ("failed", num_rounds)
    store.close()
