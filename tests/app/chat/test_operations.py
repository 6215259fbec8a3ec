"""What can be done with questions and answers, and that all of it is in the store."""

import json
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app.chat.recorder import title_of
from app.chat.rounds import LOADED_ANSWERS
from app.chat.shown import ChatViewModel
from app.engine.client import EngineClient
from app.engine.problem import Problem
from app.engine.process import EngineProcess
from app.engine.request import Settings
from app.speculation.trace import TraceViewModel
from app.store import Store
from app.store.conversation import Answer, Attachment
from app.store.exchange import export_chats, import_chats
from app.store.tree import conversation_of
from tests.app.stand_in import ANSWER


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "chats.sqlite3")


@pytest.fixture
def chat(engine: EngineProcess, store: Store, qtbot: QtBot) -> ChatViewModel:
    chat = ChatViewModel(engine, EngineClient(), TraceViewModel(), store)
    chat.follow_engine()
    qtbot.waitUntil(lambda: chat.is_ready, timeout=10_000)
    return chat


def wait(chat: ChatViewModel, qtbot: QtBot) -> Answer:
    qtbot.waitUntil(lambda: not chat.is_busy, timeout=20_000)
    return chat.conversation.turns[-1].answer


def ask(chat: ChatViewModel, qtbot: QtBot, text: str = "hello") -> Answer:
    assert chat.send(text)
    return wait(chat, qtbot)


def kept(store: Store, chat: ChatViewModel) -> list[tuple[str, str, str]]:
    assert chat.chat is not None
    turns = conversation_of(store.messages.of(chat.chat.id)).turns
    return [(turn.question, turn.answer.text, turn.answer.state) for turn in turns]


def requests(chat: ChatViewModel, qtbot: QtBot) -> list[dict]:
    """What the stand-in was asked."""
    network, told = chat.session.client._network, []
    reply = network.get(chat.session.client._network.request("/requests"))
    qtbot.waitUntil(reply.isFinished, timeout=5_000)
    told = json.loads(bytes(reply.readAll().data()))["requests"]
    reply.deleteLater()
    return [request for request in told if "messages" in request]


def test_an_answer_is_in_the_store_with_its_rounds(chat: ChatViewModel, store: Store, qtbot: QtBot) -> None:
    chat.settings = Settings(temperature=0.3)
    answer = ask(chat, qtbot, "A question that is long enough to be cut between two of its words, somewhere")
    assert [(found.title, found.settings.temperature) for found in store.chats.all()] == [
        ("A question that is long enough to be cut between two of its…", 0.3)
    ]
    assert kept(store, chat)[0][1:] == (ANSWER, "finished")
    assert len(store.messages.rounds(answer.key or 0)) == len(answer.rounds) > 10
    assert store._session.read("SELECT count(*) FROM journal") == [(0,)]


def test_a_reopened_chat_is_what_it_was(chat: ChatViewModel, store: Store, qtbot: QtBot) -> None:
    answer = ask(chat, qtbot)
    rounds, chat_id = list(answer.rounds), chat.chat.id
    chat.start_over()
    assert chat.conversation.is_empty
    assert chat.open_chat(chat_id)
    (turn,) = chat.conversation.turns
    assert (turn.question, turn.answer.text, turn.answer.model) == ("hello", ANSWER, "stand-in")
    assert turn.answer.rounds == rounds
    assert turn.answer.finished == answer.finished
    assert not chat.open_chat(4711), "there is no such chat"


def test_asking_again_keeps_the_former_answer(chat: ChatViewModel, store: Store, qtbot: QtBot) -> None:
    first = ask(chat, qtbot)
    chat.ask_again()
    second = wait(chat, qtbot)
    turn = chat.conversation.turns[0]
    assert turn.asked.answers.all == [first, second]
    assert requests(chat, qtbot)[-1]["messages"] == [{"role": "user", "content": "hello"}]
    ask(chat, qtbot, "after the second")
    chat.show_version(turn.asked.answers, -1)
    assert [one.answer for one in chat.conversation.turns] == [first]
    assert len(kept(store, chat)) == 1, "the store shows what the window shows"
    chat.show_version(turn.asked.answers, 1)
    assert len(kept(store, chat)) == 2


def test_other_words_for_a_question_begin_another_path(chat: ChatViewModel, store: Store, qtbot: QtBot) -> None:
    assert chat.send("one", (Attachment("notes.txt", "Some notes"),))
    wait(chat, qtbot)
    ask(chat, qtbot, "two")
    first = chat.conversation.turns[0]
    assert chat.edit(first, "ONE")
    wait(chat, qtbot)
    assert [turn.question for turn in chat.conversation.turns] == ["ONE"]
    assert requests(chat, qtbot)[-1]["messages"][-1]["content"].startswith('<file name="notes.txt">')
    chat.show_version(chat.conversation.turns[0].siblings, -1)
    assert [turn.question for turn in chat.conversation.turns] == ["one", "two"]
    assert [question for question, _, _ in kept(store, chat)] == ["one", "two"]


def test_a_cut_answer_goes_on_with_its_seed(chat: ChatViewModel, store: Store, qtbot: QtBot) -> None:
    answer = ask(chat, qtbot, "cut")
    assert answer.can_continue
    num_rounds, seed = len(answer.rounds), answer.seed
    assert chat.continue_answer()
    assert wait(chat, qtbot) is answer
    request = requests(chat, qtbot)[-1]
    assert request["messages"][-1] == {"role": "assistant", "content": ANSWER}
    assert (request["continue_final_message"], request["seed"]) == (True, seed)
    assert answer.text == ANSWER * 2
    assert [one.index for one in answer.rounds] == list(range(2 * num_rounds))
    assert len(store.messages.rounds(answer.key or 0)) == 2 * num_rounds
    assert kept(store, chat) == [("cut", ANSWER * 2, "finished")]


def test_a_finished_answer_does_not_go_on(chat: ChatViewModel, qtbot: QtBot) -> None:
    ask(chat, qtbot)
    assert not chat.continue_answer()


def test_a_branch_is_a_chat_of_its_own(chat: ChatViewModel, store: Store, qtbot: QtBot) -> None:
    ask(chat, qtbot, "one")
    ask(chat, qtbot, "two")
    original = chat.chat.id
    assert chat.branch(chat.conversation.turns[0])
    assert chat.chat.id != original
    assert [turn.question for turn in chat.conversation.turns] == ["one"]
    ask(chat, qtbot, "three")
    assert [found.id for found in store.chats.all()] == [chat.chat.id, original]
    assert [message.text for message in store.messages.of(original) if message.role == "user"] == ["one", "two"]


def test_each_chat_has_its_own_settings(chat: ChatViewModel, qtbot: QtBot) -> None:
    chat.settings = Settings(system="Be brief.", top_k=7, top_p=0.9, min_p=0.05)
    ask(chat, qtbot)
    request = requests(chat, qtbot)[-1]
    assert request["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (request["top_k"], request["top_p"], request["min_p"]) == (7, 0.9, 0.05)
    first = chat.chat.id
    chat.start_over()
    chat.settings = Settings(system="Ramble.")
    ask(chat, qtbot)
    chat.open_chat(first)
    assert chat.settings.system == "Be brief."


def test_a_store_that_refuses_loses_nothing(chat: ChatViewModel, store: Store, qtbot: QtBot, tmp_path: Path) -> None:
    import sqlite3

    problems: list[Problem] = []
    chat.problem_raised.connect(problems.append)
    other = sqlite3.connect(tmp_path / "chats.sqlite3")
    other.execute("BEGIN EXCLUSIVE")
    answer = ask(chat, qtbot)
    assert answer.text == ANSWER, "the answer does not wait for the disk"
    assert ["Another program holds" in problem.title for problem in problems] == [True], "told once"
    assert chat.recorder.is_behind
    other.rollback()
    other.close()
    qtbot.waitUntil(lambda: not chat.recorder.is_behind, timeout=10_000)
    assert kept(store, chat) == [("hello", ANSWER, "finished")]
    assert len(store.messages.rounds(answer.key or 0)) == len(answer.rounds)


def test_only_some_answers_keep_their_rounds_in_memory(chat: ChatViewModel, qtbot: QtBot) -> None:
    answers = [ask(chat, qtbot, f"question {number}") for number in range(LOADED_ANSWERS + 3)]
    assert sum(bool(answer.rounds) for answer in answers) == LOADED_ANSWERS
    assert answers[0].has_rounds
    num_rounds = answers[0].num_rounds
    assert len(chat.load_rounds(answers[0])) == num_rounds > 10


@pytest.mark.parametrize(
    ("question", "title"), [("  a\n b ", "a b"), ("", "New chat"), ("word " * 40, "word " * 11 + "word…")]
)
def test_titles(question: str, title: str) -> None:
    assert title_of(question) == title


class TestExchange:
    @pytest.fixture
    def filled(self, chat: ChatViewModel, qtbot: QtBot) -> ChatViewModel:
        chat.settings = Settings(system="Be brief.", temperature=0.1)
        chat.send("one", (Attachment("a.txt", "A"),))
        wait(chat, qtbot)
        chat.ask_again()
        wait(chat, qtbot)
        ask(chat, qtbot, "two")
        return chat

    def test_json_comes_back_whole(self, filled: ChatViewModel, store: Store) -> None:
        text = export_chats(store, (), "json")
        other = Store(None)
        (chat,) = import_chats(other, text)
        assert (chat.title, chat.settings) == ("one", Settings(system="Be brief.", temperature=0.1))
        again = json.loads(export_chats(other, (chat.id,), "json"))["chats"][0]
        before = json.loads(text)["chats"][0]
        for told in (again, before):
            order = {message["id"]: index for index, message in enumerate(told["messages"])}
            for message in told["messages"]:
                message["id"], message["parent"] = order[message["id"]], order.get(message["parent"])
        assert again == before
        assert len(conversation_of(other.messages.of(chat.id)).turns[0].asked.answers.all) == 2

    def test_markdown_and_text_are_what_shows(self, filled: ChatViewModel, store: Store) -> None:
        markdown, text = export_chats(store, (filled.chat.id,), "markdown"), export_chats(store, (), "text")
        assert markdown.startswith("# one\n")
        assert "> Be brief." in markdown
        assert markdown.count("## You") == text.count("You:") == 2
        assert "*Attached: a.txt*" in markdown
        assert ANSWER.strip() in text

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("{", "not valid JSON"), ("[]", "not chats"), ('{"chats": []}', "not chats"),
            ('{"lookahead_chats": 99, "chats": []}', "newer Lookahead"),
            ('{"lookahead_chats": 1, "chats": [{"title": "x"}]}', "Chat 1 of the file"),
            (
                '{"lookahead_chats": 1, "chats": [{"title": "a", "created_at": 1, "messages": []}, {"title": "x", '
                '"created_at": 1, "messages": [{"id": 1, "parent": null, "role": "assistant", "text": ""}]}]}',
                "Chat 2 of the file",
            ),
        ],
    )  # fmt: skip
    def test_a_bad_file_is_told_and_adds_nothing(self, text: str, why: str) -> None:
        store = Store(None)
        with pytest.raises(ValueError, match=why):
            import_chats(store, text)
        assert store.chats.all() == []
