"""The race: verdicts on made-up answers, and a whole one against the scripted engine."""

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app.engine.client import EngineClient
from app.engine.process import EngineProcess
from app.engine.protocol import EmittedToken, Finished, Round
from app.engine.request import build_request
from app.speculation.race import RaceViewModel
from app.speculation.verdict import judge
from app.store.conversation import Answer, Conversation, Question, messages_before
from app.window.frame import MainWindow
from tests.app.stand_in import ANSWER
from tests.app.window.test_frame import ask


def answer_of(*ids: int, round_ms: float = 100.0, p: float = 0.5) -> list[Round]:
    tokens = [EmittedToken(str(i), "plain", p, None, place, i) for place, i in enumerate(ids)]
    return [Round(index, 0, 0, (), (token,), 0, 90, round_ms) for index, token in enumerate(tokens)]


def test_equal_words_are_told_with_the_ratio() -> None:
    verdict = judge(answer_of(1, 2, 3), answer_of(1, 2, 3, round_ms=50.0), "coupled")
    assert verdict.is_equal
    assert verdict.ratio == pytest.approx(2.0)
    assert verdict.words == "The same words, token for token: all 3 of them."


def test_bit_for_bit_is_said_of_strict_answers_only() -> None:
    verdict = judge(answer_of(1, 2, 3), answer_of(1, 2, 3), "coupled", is_strict=True)
    assert verdict.words == "The same words, bit for bit: all 3 tokens."
    near = judge(answer_of(1, 2, 3), answer_of(1, 9, 3), "coupled", is_strict=True)
    assert "should not happen with strict passes" in near.words, "no near-tie excuses them"


@pytest.mark.usefixtures("qapp")
@pytest.mark.parametrize(
    ("strict", "words"), [(("plain", "speculative"), "bit for bit"), (("plain",), "token for token")]
)
def test_both_sides_must_be_strict(strict: tuple[str, ...], words: str) -> None:
    race = RaceViewModel(EngineClient())
    race._client.ask = lambda body: None
    race.start({})
    for side in ("plain", "speculative"):
        race._on_round(answer_of(1)[0])
        race._on_finished(Finished("stop", 1, 1, 1, 0.0, {"exactness": "strict" if side in strict else "fast"}))
        race._on_completed()
    assert race.verdict is not None
    assert words in race.verdict.words


@pytest.mark.parametrize(
    ("ours", "rule", "place", "words"),
    [
        (answer_of(1, 9, 3), "coupled", 1, "near-tie"),
        (answer_of(1, 9, 3, p=0.05), "coupled", 1, "should not happen"),
        (answer_of(1, 2), "coupled", 2, "should not happen"),
        (answer_of(1, 2, 3, 4), "coupled", 3, "should not happen"),
        (answer_of(7, 2, 3), "block", 0, "keeps the distribution, not the words"),
        (answer_of(7, 2, 3), "typical", 0, "lossy"),
    ],
)
def test_a_difference_is_named_and_explained(ours: list[Round], rule: str, place: int, words: str) -> None:
    verdict = judge(answer_of(1, 2, 3), ours, rule)
    assert not verdict.is_equal
    assert verdict.difference is not None
    assert verdict.difference.place == place
    assert f"from token {place + 1} on" in verdict.words
    assert words in verdict.words


def test_tokens_are_compared_by_id_not_by_the_text_they_made_final() -> None:
    """Two ids may spell the same, and one id may make no text final yet."""
    same_text = [Round(0, 0, 0, (), (EmittedToken("1", "plain", 0.5, None, 0, 99),), 0, 1, 1)]
    assert not judge(answer_of(1), same_text, "coupled").is_equal


def test_a_question_is_raced_as_it_was_asked() -> None:
    conversation = Conversation.of([("one", Answer(1, "first")), ("lost", Answer(2, "")), ("two", Answer(3, "second"))])
    turns = conversation.turns
    assert [m["content"] for m in messages_before(turns, turns[2])] == ["one", "first", "two"]
    assert [m["content"] for m in messages_before(turns, turns[0])] == ["one"]
    conversation.ask(Question("three"), Answer(4))
    assert messages_before(conversation.turns, turns[2])[-1] == {"role": "user", "content": "two"}


def test_both_sides_ask_for_the_same_but_the_drafter(engine: EngineProcess, qtbot: QtBot) -> None:
    client = EngineClient()
    client.set_address(engine.property("address"))
    bodies: list[dict] = []
    original = client.ask
    client.ask = lambda body: (bodies.append(body), original(body))[1]
    race = RaceViewModel(client)
    from app.engine.request import Settings

    body = build_request([{"role": "user", "content": "hello"}], "stand-in", Settings(drafter="none"), 42)
    with qtbot.waitSignal(race.decided, timeout=20_000):
        race.start(body)
    plain, ours = bodies
    assert (plain["speculation"].pop("drafter"), ours["speculation"].pop("drafter")) == ("none", "auto")
    assert plain == ours
    assert (plain["seed"], plain["speculation"]["alternatives"]) == (42, 0)
    assert body["speculation"]["drafter"] == "none", "the request itself is left alone"
    assert race.verdict is not None
    assert race.verdict.is_equal
    assert race.lanes["plain"].text == race.lanes["speculative"].text == ANSWER
    assert race.running is None


def test_a_race_that_fails_says_so_and_can_be_run_again(window: MainWindow, qtbot: QtBot) -> None:
    ask(window, qtbot, "error chunk")
    speculation = window.speculation
    speculation.start_race()
    qtbot.waitUntil(lambda: speculation.race.running is None, timeout=10_000)
    assert "could not finish" in speculation.race_window.words.text()
    assert speculation.race_window.button.text() == "Race again"
    speculation.race_window.close()


def test_a_race_in_the_window(window: MainWindow, qtbot: QtBot) -> None:
    assert not window.panel.speed.race.isEnabled(), "there is nothing to race"
    window.resize(1300, 800)
    window.bar.panel.setChecked(True)
    ask(window, qtbot)
    window.panel.switch.choose(1)
    assert window.panel.speed.race.isEnabled()
    qtbot.mouseClick(window.panel.speed.race, Qt.MouseButton.LeftButton)
    race = window.speculation.race
    qtbot.waitUntil(lambda: race.verdict is not None, timeout=20_000)
    shown = window.speculation.race_window
    assert "The same words, token for token" in shown.words.text()
    assert shown.ratio.text() == f"{race.verdict.ratio:.2f}×"
    assert shown._texts["plain"].toPlainText() == shown._texts["speculative"].toPlainText() == ANSWER
    shown.close()
