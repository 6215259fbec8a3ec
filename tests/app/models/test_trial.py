"""Trying a pair: the race is the engine's own command, in a process beside it."""

import sys
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app.models.choice import Choice
from app.models.trial import PairRace, race_command
from tests.models.gguf.tiny import tiny_gguf

PAIR = Choice("org/big", "org/small", "two")


def saying(text: str, code: int = 0, error: str = "") -> list[str]:
    script = f"import sys; print({text!r}); sys.stderr.write({error!r}); sys.exit({code})"
    return [sys.executable, "-c", script]


def test_the_command_names_the_pair_or_both_models() -> None:
    assert race_command(PAIR)[1:] == ["-m", "mlx_spec.cli", "models", "try", "two", "--json"]
    assert race_command(Choice("/a/b", "/c"))[4:] == ["try", "/a/b", "--draft", "/c", "--json"]
    assert race_command(Choice("/a/b"))[4:] == ["try", "/a/b", "--draft", "none", "--json"]


@pytest.mark.parametrize(
    ("command", "ratio", "words"),
    [
        (saying('{"ratio": 1.534, "same_words": true}'), 1.534, "1.53× plain decoding, with the same words."),
        (saying('{"ratio": 0.9, "same_words": false}'), 0.9, "not all words were the same"),
        (saying("", 2, "loading\nmlx-spec: It does not fit."), None, "could not be run: It does not fit."),
        (saying("[]"), None, "ended without a word"),
        (["/no/such/program"], None, "No such file"),
    ],
)
def test_what_came_of_it_is_a_sentence(qtbot: QtBot, command: list[str], ratio: float | None, words: str) -> None:
    race = PairRace(lambda _: command)
    with qtbot.waitSignal(race.finished, timeout=30_000) as ended:
        race.start(PAIR)
    choice, told, sentence = ended.args
    assert (choice, told) == (PAIR, ratio)
    assert words in sentence or ratio is None
    assert race.choice is None


def test_a_real_race_of_a_tiny_pair(qtbot: QtBot, tmp_path: Path) -> None:
    path = str(tiny_gguf().write(tmp_path / "tiny.gguf"))
    race = PairRace(lambda choice: [*race_command(choice), "--seconds", "0.1"])
    with qtbot.waitSignal(race.finished, timeout=120_000) as ended:
        race.start(Choice(path, path))
    _, ratio, sentence = ended.args
    assert ratio is not None, sentence
    assert ratio > 0
    assert "same words" in sentence


def test_a_race_that_is_given_up_says_nothing(qtbot: QtBot) -> None:
    race = PairRace(lambda _: [sys.executable, "-c", "import time; time.sleep(60)"])
    with qtbot.assertNotEmitted(race.finished, wait=300):
        race.start(PAIR)
        race.stop()
    assert race.choice is None
