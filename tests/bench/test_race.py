"""The race of a pair: fair, as long as asked for, and remembered for this machine."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlx_spec.bench.contenders import Answer
from mlx_spec.bench.race import race
from mlx_spec.cli import main as cli
from mlx_spec.errors import ModelError
from mlx_spec.models import races
from mlx_spec.models.pairs import PAIRS
from mlx_spec.models.races import RaceResult, measured, remember, remembered
from tests.models.gguf.tiny import tiny_gguf
from tests.tiny import tiny_pair


class Clock:
    """Seconds that pass only when somebody answers."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Lane:
    """Says `token_ids` in `seconds`, and writes down that it was its turn."""

    def __init__(self, name: str, clock: Clock, turns: list[str], seconds: float, token_ids: tuple[int, ...]) -> None:
        self.name, self._clock, self._turns, self.seconds, self.token_ids = name, clock, turns, seconds, token_ids

    def answer(self, prompt_ids: Sequence[int], temperature: float, seed: int, max_tokens: int) -> Answer:
        """Answer at once, though the clock says otherwise."""
        self._turns.append(self.name)
        self._clock.now += self.seconds
        return Answer(self.token_ids, self.seconds, 0.0, (), 0, 0, None)


def raced(*, seconds: float = 20.0, ours: tuple[int, ...] = (5,) * 40) -> tuple[RaceResult, list[str]]:
    clock, turns = Clock(), list[str]()
    lanes = Lane("plain", clock, turns, 2.0, (5,) * 40), Lane("ours", clock, turns, 1.0, ours)
    return race(tiny_pair(), seconds, contenders=lanes, clock=clock), turns


def test_the_ratio_is_of_tokens_a_second() -> None:
    result, _ = raced()
    assert (result.plain_rate, result.rate, result.ratio) == (20.0, 40.0, 2.0)
    assert result.same_words
    assert raced(ours=(5,) * 20)[0].ratio == pytest.approx(1.0)


def test_both_answer_every_prompt_and_take_turns_to_begin() -> None:
    result, turns = raced()
    race_turns = turns[2:]  # after the warm-up of each
    assert race_turns[:6] == ["plain", "ours", "ours", "plain", "plain", "ours"]
    assert race_turns.count("plain") == race_turns.count("ours") == result.answers


def test_it_ends_after_the_time_that_was_asked_for() -> None:
    assert raced(seconds=20.0)[0].answers == 7  # of three seconds for both: the first end at or after 20
    assert raced(seconds=0.1)[0].answers == 1


def test_other_words_are_told() -> None:
    assert not raced(ours=(5,) * 39 + (6,))[0].same_words


def test_a_model_that_says_nothing_is_told() -> None:
    with pytest.raises(ModelError, match="said nothing"):
        raced(ours=())


def test_a_real_pair_races() -> None:
    told: list[tuple[str, float]] = []
    result = race(tiny_pair(), 0.1, lambda *args: told.append(args))
    assert result.same_words
    assert result.rate > 0
    assert told[-1] == ("racing", 1.0)


def result_of(target: str, draft: str, **changes: Any) -> RaceResult:
    facts = {"machine": races.this_machine(), "ratio": 1.5, "plain_rate": 2.0, "rate": 3.0, "tokens": 9, "answers": 1}
    return RaceResult(**{"target": target, "draft": draft, "same_words": True, "day": "2026-11-22", **facts, **changes})


@pytest.mark.usefixtures("lookahead_home")
class TestRemembering:
    def test_the_last_race_of_each_pair_and_machine_stays(self) -> None:
        remember(result_of("a", "b"))
        remember(result_of("a", "c", ratio=1.1))
        remember(result_of("a", "b", ratio=1.9))
        remember(result_of("a", "b", ratio=9.0, machine="another"))
        found = remembered("a", "b")
        assert found is not None
        assert found.ratio == 1.9
        assert remembered("a", "c") == result_of("a", "c", ratio=1.1)
        assert remembered("b", "a") is None

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}'])
    def test_a_damaged_file_is_begun_anew(self, text: str, lookahead_home: Path) -> None:
        lookahead_home.mkdir(exist_ok=True)
        (lookahead_home / "races.json").write_text(text)
        assert remembered("a", "b") is None
        remember(result_of("a", "b"))
        assert remembered("a", "b") is not None

    def test_it_shows_where_pairs_are_listed(self) -> None:
        name, pair = next((name, pair) for name, pair in PAIRS.items() if "/" in pair.target)
        assert measured(pair) is None
        remember(result_of(pair.target.rpartition("/")[2], pair.draft.rpartition("/")[2], ratio=1.75))
        shown = CliRunner().invoke(cli.app, ["models", "pairs"]).stdout
        assert "1.75 times plain decoding here, raced on 2026-11-22" in shown
        told = json.loads(CliRunner().invoke(cli.app, ["models", "pairs", "--json"]).stdout)
        assert told[name]["measured"]["ratio"] == 1.75
        assert [key for key, value in told.items() if value["measured"]] == [name]

    def test_the_command_races_and_remembers(self, tmp_path: Path) -> None:
        path = tiny_gguf().write(tmp_path / "tiny.gguf")
        done = CliRunner().invoke(cli.app, ["models", "try", str(path), "--seconds", "0.1", "--json"])
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        assert told["target"] == "tiny"
        assert remembered("tiny", None) == RaceResult(**told)
