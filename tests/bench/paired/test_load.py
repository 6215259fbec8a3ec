"""A load on servers: requests that come when they like. No test asks how fast."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mlx_spec.bench.paired.chat_client import BusyServerError
from mlx_spec.bench.paired.chats import Message
from mlx_spec.bench.paired.serving import together
from mlx_spec.bench.paired.serving.answers import Load
from mlx_spec.bench.paired.serving.clients import Piece
from mlx_spec.bench.paired.serving.figures import Words
from mlx_spec.bench.paired.serving.loads import Percentiles, load_figures
from mlx_spec.bench.paired.serving.plan import ServePlan, rates_in
from mlx_spec.bench.paired.serving.questions import short_question
from mlx_spec.bench.paired.serving.report import ServeReport
from mlx_spec.bench.paired.serving.rounds import Servers, measure_serving
from mlx_spec.bench.paired.serving.together import Asking, ask_over_time
from mlx_spec.bench.report_file import read_report, write_report
from mlx_spec.errors import ConfigError
from tests.bench.paired.served_answers import an_answer
from tests.bench.paired.test_serve import MACHINE, FakeClient, printed

PLAN = ServePlan(at_once=(), rates=(50.0, 100.0), prompts=3, repeats=2, answer_tokens=6)


@pytest.fixture(autouse=True)
def _connected_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "CONNECT_S", 0.0)


class FullClient(FakeClient):
    """Warm, it refuses every third question, and says the same to all others."""

    def pieces(self, messages: Sequence[Message], max_tokens: int, more: Mapping[str, Any]) -> Iterator[Piece]:
        if len(self.asked) > 3 and len(self.asked) % 3 == 2:
            self.asked.append((messages[0]["content"], max_tokens, more))
            raise BusyServerError("Too many wait.")
        yield from super().pieces(messages, max_tokens, more)


def measured(**clients: FakeClient) -> ServeReport:
    report = ServeReport(MACHINE, "starter", None, PLAN)
    measure_serving(report, Servers(clients, {}, count=len), number=100_001)
    return report


def test_all_sides_are_asked_the_same_at_each_rate_and_take_turns() -> None:
    report = measured(ours=FakeClient(), theirs=FakeClient(steady=False))
    order = [(one.turn, one.rate, one.side) for one in report.loads]
    there, back = ["ours", "theirs"], ["theirs", "ours"]
    assert [side for turn, rate, side in order if (turn, rate) == (0, 50.0)] == there
    assert [side for turn, rate, side in order if (turn, rate) == (0, 100.0)] == back
    assert [side for turn, rate, side in order if (turn, rate) == (1, 50.0)] == back
    numbers = {(one.turn, one.rate, one.side): [answer.number for answer in one.answers] for one in report.loads}
    assert numbers[0, 50.0, "ours"] == numbers[0, 50.0, "theirs"]
    assert len({number for one in report.loads for number in numbers[one.turn, one.rate, one.side]}) == 2 * 2 * 3
    assert report.complete
    assert (report.runs, report.arrivals) == ([], [])
    words = {one.side: one.words for one in load_figures(report.loads) if one.rate == 50.0}
    assert words == {"ours": Words(6, 6), "theirs": Words(0, 6)}


def test_each_comes_after_its_wait_whoever_is_still_being_answered() -> None:
    asking = Asking(FakeClient(pause_s=0.2), 9, {}, len)
    answers = ask_over_time(asking, [short_question(at, 100_001 + at) for at in range(3)], [0.0, 0.05, 0.04])
    _, second, third = (answer.asked_s for answer in answers)
    assert 0.05 <= second < answers[0].end_s
    assert third >= 0.09
    assert third < answers[0].end_s


def test_who_is_refused_is_counted_and_is_no_failure() -> None:
    report = measured(ours=FakeClient(), theirs=FullClient())
    (ours, theirs) = (one for one in load_figures(report.loads) if one.rate == 50.0)
    assert (ours.asked, ours.refused, ours.failed) == (6, 0, 0)
    assert (theirs.asked, theirs.failed) == (6, 0)
    assert theirs.refused > 0
    assert report.failures() == []
    assert f"6 / {theirs.refused}" in printed(report)


def test_figures_are_those_of_the_times() -> None:
    first = Load("ours", 2.0, 0, (an_answer(1.0, 2.0, 5.0), an_answer(4.0, 5.0, asked=3.0)))
    second = Load("ours", 2.0, 1, (an_answer(3.0), an_answer(error="Too many.", refused=True, tokens=0)))
    (found,) = load_figures([second, first])
    assert found.first_text == Percentiles(1.0, pytest.approx(2.8), pytest.approx(2.96), 3)
    assert found.gap == Percentiles(1.0, pytest.approx(2.8), pytest.approx(2.96), 3)
    assert found.done is not None
    assert (found.done.least, found.done.greatest) == (pytest.approx(10 / 3), 4.0)
    assert (found.asked, found.refused, found.failed, found.words) == (4, 1, 0, None)


def test_it_survives_json_and_an_older_report_has_none(tmp_path: Path) -> None:
    report = measured(ours=FakeClient(), theirs=FullClient())
    path = tmp_path / "report.json"
    write_report(report, path)
    assert read_report(path) == report
    kept = json.loads(path.read_text())
    assert [(one["rate"], one["side"]) for one in kept["summary"]["loads"]][:2] == [(50.0, "ours"), (50.0, "theirs")]
    del kept["loads"]
    assert ServeReport.from_dict(kept).loads == []


@pytest.mark.parametrize("text", ["0", "-1", "101", "inf", "nan", "often", ","])
def test_a_rate_that_is_none_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match=r"load is|at_once is"):
        ServePlan(at_once=(), rates=rates_in(text))
