"""The chats on disk: kept, found, copied, deleted and brought back."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.engine.protocol import Finished, parse_round
from app.engine.request import Settings
from app.store import Chat, Store
from app.store.conversation import Attachment
from app.store.exchange import export_chats, import_chats
from app.store.messages import pack
from app.store.search import MATCH_END, MATCH_START
from app.store.tree import conversation_of

WIRE = json.dumps({"round": 0, "lookahead": 2, "drafted": [], "emitted": [], "new": "told by a newer engine"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chats.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path)
    yield store
    store.close()


def add_turn(store: Store, chat: Chat, question: str, answer: str, parent: int | None = None) -> tuple[int, int]:
    asked = store.messages.add_question(chat.id, parent, question)
    answered = store.messages.add_answer(chat.id, asked, seed=7, model="starter")
    store.messages.close(answered, answer, "finished", [WIRE, WIRE], Finished("stop", 7, 3, 5, 1.0, {"speedup": 1.4}))
    return asked, answered


def path_of(store: Store, chat: Chat) -> list[tuple[str, str]]:
    return [(turn.question, turn.answer.text) for turn in conversation_of(store.messages.of(chat.id)).turns]


def test_a_chat_outlives_the_program(store: Store, path: Path) -> None:
    settings = Settings(temperature=0.2, system="Be brief.", top_k=40)
    chat = store.chats.create("Rivers", settings)
    first = store.messages.add_question(chat.id, None, "Which?", (Attachment("list.txt", "Rhine\n"),))
    add_turn(store, chat, "And now?", "The Rhône.", store.messages.add_answer(chat.id, first, seed=1))
    store.close()
    again = Store(path)
    (found,) = again.chats.all()
    assert (found.title, found.settings) == ("Rivers", settings)
    opening, second = conversation_of(again.messages.of(found.id)).turns
    assert opening.asked.prompt == '<file name="list.txt">\nRhine\n</file>\n\nWhich?'
    assert opening.answer.state == "failed", "it was open when the program ended"
    assert (second.answer.text, second.answer.seed, second.answer.model) == ("The Rhône.", 7, "starter")
    assert second.answer.finished is not None
    assert second.answer.finished.stats == {"speedup": 1.4}
    again.close()


def test_an_answer_keeps_its_rounds_as_the_engine_sent_them(store: Store) -> None:
    chat = store.chats.create("a", Settings())
    _, answered = add_turn(store, chat, "q", "a")
    assert store.messages.rounds(answered) == [WIRE, WIRE]
    assert json.loads(store.messages.rounds(answered)[0])["new"] == "told by a newer engine"
    assert parse_round(store.messages.rounds(answered)[0]).lookahead == 2
    assert store.messages.of(chat.id)[1].answer.num_rounds == 2
    assert len(pack([WIRE] * 100)) < len(WIRE) * 100 / 10


class TestWhatWasKnownOfThePrompt:
    def kept(self, store: Store, chat: Chat) -> Finished:
        (turn,) = conversation_of(store.messages.of(chat.id)).turns
        assert turn.answer.finished is not None
        return turn.answer.finished

    def test_it_is_kept_and_goes_along_into_a_file_and_back(self, store: Store) -> None:
        chat = store.chats.create("a", Settings())
        _, answered = add_turn(store, chat, "q", "a")
        store.messages.close(answered, "a", "finished", [], Finished("stop", 7, 2051, 5, 1.0, cached_tokens=2008))
        assert self.kept(store, chat).cached_tokens == 2008
        (again,) = import_chats(store, export_chats(store, [chat.id], "json"))
        assert self.kept(store, again).read_tokens == 43

    def test_of_a_chat_kept_before_there_was_such_a_number_nothing_was_known(self, store: Store) -> None:
        chat = store.chats.create("a", Settings())
        _, answered = add_turn(store, chat, "q", "a")
        old = """{"finish_reason": "stop", "seed": 7, "prompt_tokens": 31, "completion_tokens": 5, "prefill_ms": 40.0,
            "stats": {"speedup": 1.4}}"""
        store.messages._session.change("UPDATE answer SET finished = ? WHERE message_id = ?", (old, answered))
        kept = self.kept(store, chat)
        assert (kept.cached_tokens, kept.read_tokens, kept.prompt_tokens) == (0, 31, 31)


def test_what_was_noted_of_an_open_answer_survives_a_kill(store: Store, path: Path) -> None:
    chat = store.chats.create("a", Settings())
    asked = store.messages.add_question(chat.id, None, "q")
    answered = store.messages.add_answer(chat.id, asked, seed=3)
    for text in ("One", " two"):
        store.messages.append(answered, wire=WIRE)
        store.messages.append(answered, text=text)
    store.flush()
    other = Store(path)  # as after a kill: the first one never closed
    assert other.num_recovered == 1
    turn = conversation_of(other.messages.of(chat.id)).turns[0]
    assert (turn.answer.text, turn.answer.state, turn.answer.num_rounds) == ("One two", "failed", 2)
    other.close()


def test_a_continued_answer_that_was_killed_keeps_both_parts(store: Store, path: Path) -> None:
    chat = store.chats.create("a", Settings())
    _, answered = add_turn(store, chat, "q", "First part,")
    store.messages.reopen(answered)
    store.messages.append(answered, wire=WIRE, text=" second part")
    store.flush()
    other = Store(path)
    assert path_of(other, chat) == [("q", "First part, second part")]
    assert len(other.messages.rounds(answered)) == 3
    other.close()


class TestVersions:
    def test_a_new_wording_shows_and_the_old_one_can_be_shown_again(self, store: Store) -> None:
        chat = store.chats.create("a", Settings())
        asked, answered = add_turn(store, chat, "one", "1")
        add_turn(store, chat, "follow-up", "2", answered)
        other, _ = add_turn(store, chat, "two", "3")
        assert path_of(store, chat) == [("two", "3")]
        store.messages.show(asked, [asked, other])
        assert path_of(store, chat) == [("one", "1"), ("follow-up", "2")]

    def test_a_branch_holds_the_path_and_nothing_else(self, store: Store) -> None:
        chat = store.chats.create("a", Settings(top_k=3))
        asked, answered = add_turn(store, chat, "one", "1")
        add_turn(store, chat, "later", "2", answered)
        add_turn(store, chat, "other wording", "3")
        branch = store.chats.copy(chat.id, "a (branch)", [asked, answered])
        assert path_of(store, branch) == [("one", "1")]
        assert branch.settings == Settings(top_k=3)
        (copied,) = [message for message in store.messages.of(branch.id) if message.role == "assistant"]
        assert store.messages.rounds(copied.id) == [WIRE, WIRE]

    def test_a_copy_holds_everything(self, store: Store) -> None:
        chat = store.chats.create("a", Settings())
        _, answered = add_turn(store, chat, "one", "1")
        add_turn(store, chat, "later", "2", answered)
        copied = store.chats.copy(chat.id, "a copy")
        assert path_of(store, copied) == path_of(store, chat)
        assert {m.id for m in store.messages.of(copied.id)}.isdisjoint(m.id for m in store.messages.of(chat.id))


class TestDeletion:
    def test_it_can_be_undone(self, store: Store) -> None:
        chat = store.chats.create("a", Settings())
        add_turn(store, chat, "badger", "1")
        store.chats.delete([chat.id])
        assert store.chats.all() == []
        assert store.chats.get(chat.id) is None
        assert store.search.find("badger") == []
        store.chats.restore([chat.id])
        assert [found.id for found in store.chats.all()] == [chat.id]
        assert path_of(store, chat) == [("badger", "1")]

    def test_after_a_restart_it_is_gone_for_good(self, store: Store, path: Path) -> None:
        chat = store.chats.create("a", Settings())
        parent = None
        for number in range(1_500):  # deeper than SQLite's limit of nested triggers
            parent = store.messages.add_question(chat.id, parent, f"word{number}")
        assert store.purged == ()
        store.chats.delete([chat.id])
        store.close()
        again = Store(path)
        assert [one.cache_key for one in again.purged] == [chat.cache_key]
        assert again.chats.create("b", Settings()).cache_key != chat.cache_key, "though its row may have the same id"
        assert again.messages.of(chat.id) == []
        assert again._session.read("SELECT count(*) FROM message_fts WHERE message_fts MATCH 'word7'") == [(0,)]
        again.close()


class TestSearch:
    @pytest.fixture
    def chats(self, store: Store) -> dict[str, Chat]:
        texts = {
            "sea": "The café by the sea",
            "moon": "Moonlight sonata",
            "cn": "天空为什么是蓝色的",
            "pc": "100% of a_b",
        }
        chats = {name: store.chats.create(f"Title of {name}", Settings()) for name in texts}
        for name, text in texts.items():
            add_turn(store, chats[name], text, f"An answer about {name}")
        return chats

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("cafe", {"sea"}), ("SEA caf", {"sea"}), ("moonl", {"moon"}), ("sea moonlight", set()), ("为什么", {"cn"}),
            ("answer", {"sea", "moon", "cn", "pc"}), ("title of moon", {"moon"}), ("", set()), ('"', set()),
            ("AND", set()), ("sea*", {"sea"}), ("100%", {"pc"}), ("x%y", set()), ("nothing OR (", set()),
        ],
    )  # fmt: skip
    def test_words_begun_words_other_scripts_and_titles(
        self, store: Store, chats: dict[str, Chat], query: str, expected: set[str]
    ) -> None:
        assert {hit.chat.id for hit in store.search.find(query)} == {chats[name].id for name in expected}

    def test_the_place_is_told(self, store: Store, chats: dict[str, Chat]) -> None:
        (hit,) = store.search.find("sonata")
        assert hit.snippet == f"Moonlight {MATCH_START}sonata{MATCH_END}"
        assert hit.message_id == store.messages.of(chats["moon"].id)[0].id
        (hit,) = store.search.find("蓝色")
        assert hit.snippet == f"天空为什么是{MATCH_START}蓝色{MATCH_END}的"

    def test_a_text_that_grew_is_found_and_its_former_words_are_not(self, store: Store) -> None:
        chat = store.chats.create("a", Settings())
        _, answered = add_turn(store, chat, "q", "former words")
        store.messages.close(answered, "latter words", "finished", [])
        assert store.search.find("former") == []
        assert len(store.search.find("latter")) == 1


def test_presets(store: Store) -> None:
    store.presets.save("Precise", Settings(temperature=0.0))
    store.presets.save("precise", Settings(temperature=0.1))
    store.presets.save("Lively", Settings(temperature=1.2, top_p=0.95))
    assert list(store.presets.all()) == ["Lively", "Precise", "precise"]
    store.presets.delete("precise")
    store.presets.save("Precise", Settings(top_k=5))
    assert store.presets.all() == {"Lively": Settings(temperature=1.2, top_p=0.95), "Precise": Settings(top_k=5)}


def test_renaming_keeps_the_order_and_a_change_goes_to_the_top(store: Store) -> None:
    first = store.chats.create("a", Settings(), created_at=1.0)
    store.chats.create("b", Settings(), created_at=2.0)
    store.chats.rename(first.id, "z")
    assert [chat.title for chat in store.chats.all()] == ["b", "z"]
    store.chats.touch(first.id)
    assert [chat.title for chat in store.chats.all()] == ["z", "b"]
