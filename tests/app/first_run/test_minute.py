"""A bench of a minute: sized by a warming race, fair, and told in words."""

import pytest
from PySide6.QtCore import QObject, Signal
from pytestqt.qtbot import QtBot

from app.engine.problem import Problem
from app.first_run.minute import LEAST_TOKENS, MOST_TOKENS, WARM_TOKENS, Minute, MinuteBench, read_prompts
from app.first_run.words import minute_words
from app.look.resources import resources_folder
from app.speculation import Verdict
from app.speculation.verdict import Difference

PROMPTS = {"chat": "Explain.", "code": "Write.", "copy-edit": "Change."}


class Race(QObject):
    """Stands in for a RaceViewModel; each race ends when the test says so."""

    decided = Signal(object)
    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[dict] = []
        self.problem: Problem | None = None
        self.stopped = 0

    def start(self, body: dict) -> None:
        self.bodies.append(body)

    def stop(self) -> None:
        self.stopped += 1

    def decide(self, plain: float, ours: float, tokens: int = 60, difference: Difference | None = None) -> None:
        self.decided.emit(Verdict(tokens, difference, ours / plain, plain, ours))


@pytest.fixture
def race(qtbot: QtBot) -> Race:
    return Race()


def run(bench: MinuteBench, race: Race, qtbot: QtBot, *rates: tuple[float, float]) -> None:
    """Start, and let each race end with its rates."""
    bench.start("starter")
    for number, (plain, ours) in enumerate(rates, 1):
        qtbot.waitUntil(lambda number=number: len(race.bodies) == number, timeout=2_000)
        race.decide(plain, ours)


def test_the_warming_does_not_count_and_sizes_the_others(race: Race, qtbot: QtBot) -> None:
    bench = MinuteBench(race, PROMPTS)
    run(bench, race, qtbot, (10.0, 1000.0), (10, 20), (10, 15), (10, 40))
    assert [body["max_tokens"] for body in race.bodies] == [WARM_TOKENS, 75, 75, 75]
    assert [body["messages"][0]["content"] for body in race.bodies] == ["Explain.", "Explain.", "Write.", "Change."]
    assert all(body["temperature"] == 0 and body["seed"] == 1 for body in race.bodies)
    assert not bench.is_running
    assert bench.minute is not None
    assert [kind for kind, _ in bench.minute.verdicts] == list(PROMPTS)
    assert bench.minute.plain_rate == pytest.approx(10)
    assert bench.minute.rate == pytest.approx(180 / (3 + 4 + 1.5)), "by all the time, not the mean of the rates"


@pytest.mark.parametrize(("plain", "tokens"), [(0.5, LEAST_TOKENS), (500.0, MOST_TOKENS)])
def test_slow_and_fast_machines_fill_a_minute_too(race: Race, qtbot: QtBot, plain: float, tokens: int) -> None:
    bench = MinuteBench(race, PROMPTS)
    run(bench, race, qtbot, (plain, plain), (plain, plain))
    assert race.bodies[1]["max_tokens"] == tokens


def test_when_the_time_is_over_what_there_is_counts(race: Race, qtbot: QtBot) -> None:
    bench = MinuteBench(race, PROMPTS)
    run(bench, race, qtbot, (10, 20), (10, 20))
    bench._limit.timeout.emit()
    assert not bench.is_running
    assert race.stopped == 1
    assert bench.minute is not None
    headline, told = minute_words(bench.minute)
    assert headline == "No clear answer", "one answer says little"
    assert "That is 2.00×" in told


def test_a_failure_is_told_and_giving_up_tells_nothing(race: Race, qtbot: QtBot) -> None:
    bench = MinuteBench(race, PROMPTS)
    bench.start("starter")
    race.problem = Problem("The engine stopped.")
    race.changed.emit()
    assert (bench.is_running, bench.problem, bench.minute) == (False, race.problem, None)
    race.problem = None
    bench.start("starter")
    assert bench.problem is None
    bench.stop()
    race.decide(10, 20)
    assert (bench.is_running, bench.minute) == (False, None)


def minute(*rates: tuple[float, float], difference: Difference | None = None) -> Minute:
    kinds = zip(PROMPTS, rates, strict=False)
    return Minute(tuple((kind, Verdict(60, difference, ours / plain, plain, ours)) for kind, (plain, ours) in kinds))


@pytest.mark.parametrize(
    ("found", "headline", "words"),
    [
        (minute((20, 30), (20, 30), (20, 60)), "1.80× as fast",
         "36 tokens a second instead of 20. By kind: explaining 1.50×, writing code 1.50×, changing a given text "
         "3.00×. Every word was the same, as it has to be."),
        (minute((20, 20.1), (20, 20)), "About as fast as without", "the engine notices"),
        (minute((20, 10), (20, 10)), "0.50×: slower than without", "Other work"),
        (minute((20, 30), (5, 30)), "No clear answer", "That is 3.75×, but the machine was busy"),
        (minute((20, 30), (20, 30), difference=Difference(4, None, None)), "1.50× as fast", "differ from token 5"),
        (Minute(()), "Too slow to say", "No answer"),
    ],
)  # fmt: skip
def test_the_words(found: Minute, headline: str, words: str) -> None:
    told = minute_words(found)
    assert told[0] == headline
    assert words.casefold() in told[1].casefold()


def test_the_questions_are_those_of_the_bench() -> None:
    prompts = read_prompts()
    assert list(prompts) == ["chat", "code", "copy-edit"]
    assert all(prompts.values())
    folder = resources_folder()
    assert folder is not None
    assert prompts["chat"] in (folder / "bench" / "chat.toml").read_text("utf-8")
    assert read_prompts(lambda: None) == {}
