"""Servers asked several things at once: order, words, and the arithmetic of given times. No test asks how fast."""

import io
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mlx_spec.bench.paired.chats import Message
from mlx_spec.bench.paired.serving import figures, together
from mlx_spec.bench.paired.serving.answers import Arrival, Served
from mlx_spec.bench.paired.serving.clients import Client, Piece
from mlx_spec.bench.paired.serving.plan import ServePlan, numbers_at_once
from mlx_spec.bench.paired.serving.questions import long_question, short_question, writers_question
from mlx_spec.bench.paired.serving.report import ServeReport
from mlx_spec.bench.paired.serving.rounds import Servers, measure_serving
from mlx_spec.bench.paired.serving.together import Asking, ask_among_writers, ask_together
from mlx_spec.bench.report_file import read_report, write_report
from mlx_spec.cli.commands.bench.serving_tables import serving_tables
from mlx_spec.errors import ConfigError, LookaheadError
from tests.bench.paired.served_answers import an_answer

MACHINE = {"device": "a chip", "cores": 2, "blas": "openblas", "mlx": "0.0", "date": "today", "load_1min": 0.1}
PLAN = ServePlan(at_once=(1, 2, 16), prompts=2, repeats=2, answer_tokens=6)


@pytest.fixture(autouse=True)
def _connected_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "CONNECT_S", 0.0)


class TestPlan:
    @pytest.mark.parametrize(
        ("prompts", "at_once", "waves"),
        [
            (8, 1, [1] * 8),
            (8, 4, [4, 4]),
            (8, 8, [8]),
            (8, 16, [16]),
            (8, 3, [3, 3, 3]),
        ],
    )
    def test_waves_are_full_and_have_all_prompts(self, prompts: int, at_once: int, waves: list[int]) -> None:
        found = ServePlan(prompts=prompts).waves(at_once)
        assert [len(wave) for wave in found] == waves
        assert [index for wave in found for index in wave] == list(range(sum(waves)))

    def test_beyond_eight_ours_is_compared_with_itself_alone(self) -> None:
        sides = ("ours", "before", "theirs", "plain")
        assert ServePlan().sides_at(8, sides) == ("ours", "before", "theirs")
        assert ServePlan().sides_at(9, sides) == ("ours", "plain")

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"at_once": (0,)}, "at_once is 0: it must be numbers from 1 to 64"),
            ({"at_once": (65,)}, "at_once is 65"),
            ({"at_once": ()}, "at_once is '': it must be at least one number"),
            ({"prompts": 0}, "prompts is 0"),
            ({"repeats": 0}, "repeats is 0"),
            ({"answer_tokens": 1}, "answer_tokens is 1"),
        ],
    )
    def test_what_cannot_be_measured_is_told(self, values: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            ServePlan(**values)

    def test_numbers_are_read_once_each_and_ascending(self) -> None:
        assert numbers_at_once("8, 1,2,8") == (1, 2, 8)
        with pytest.raises(ConfigError, match=r"at_once is '1,two': it must be whole numbers with commas"):
            numbers_at_once("1,two")


class FakeClient:
    """Says the same at once, or something else when it is asked again; keeps what it was asked."""

    def __init__(
        self, *, steady: bool = True, fails_at: int = 0, meeting: threading.Barrier | None = None, pause_s: float = 0.0
    ) -> None:
        self._steady, self._fails_at, self._meeting, self._pause_s = steady, fails_at, meeting, pause_s
        self.asked: list[tuple[str, int, Mapping[str, Any]]] = []
        self.closed = False

    def close(self) -> None:
        """Nothing is open."""
        self.closed = True

    def pieces(self, messages: Sequence[Message], max_tokens: int, more: Mapping[str, Any]) -> Iterator[Piece]:
        """Ends with the counts. Where there is a meeting, nobody is answered until all are there."""
        text = messages[0]["content"]
        again = text in [said for said, _, _ in self.asked]
        self.asked.append((text, max_tokens, more))
        if self._meeting is not None:
            self._meeting.wait(10)
        time.sleep(self._pause_s)
        yield from map(Piece, ("It", " is", ""))
        if self._fails_at and len(self.asked) >= self._fails_at:
            raise LookaheadError("The cable is out.")
        yield from map(Piece, (" so", "."))
        yield Piece(" Not." if again and not self._steady else "", 7, 40)


def measured(plan: ServePlan = PLAN, *, steady: bool = True, settled: bool = True) -> Any:
    clients = {"ours": FakeClient(), "before": FakeClient(), "theirs": FakeClient(steady=steady)}
    servers = Servers(clients, {}, count=lambda text: len(text.split()), settle=lambda: settled)
    report = ServeReport(MACHINE, "starter", None, plan)
    saved = list[int]()
    measure_serving(report, servers, number=100_001, settled_texts=2, save=lambda one: saved.append(len(one.runs)))
    return report, clients, saved


class TestRounds:
    def test_sides_take_turns_a_b_b_a_at_each_number_and_in_the_next_turn_the_other_way(self) -> None:
        report, _, saved = measured()
        order = [(run.turn, run.at_once, run.side) for run in report.runs]
        there, back = ["ours", "before", "theirs"], ["theirs", "before", "ours"]
        assert [side for turn, at, side in order if (turn, at) == (0, 1)] == there
        assert [side for turn, at, side in order if (turn, at) == (0, 2)] == back
        assert [side for turn, at, side in order if (turn, at) == (0, 16)] == ["ours", "plain"]
        assert [side for turn, at, side in order if (turn, at) == (1, 1)] == back
        assert [side for turn, at, side in order if (turn, at) == (1, 2)] == there
        assert [side for turn, at, side in order if (turn, at) == (1, 16)] == ["plain", "ours"]
        assert [(one.turn, one.side) for one in report.arrivals] == [
            (0, "theirs"),
            (0, "ours"),
            (1, "ours"),
            (1, "theirs"),
        ]
        assert saved[-1] == len(report.runs) == 2 * (3 + 3 + 2)
        assert report.complete

    def test_all_sides_are_asked_the_same_which_nobody_was_asked_before(self) -> None:
        report, _, _ = measured(replace(PLAN, repeats=1))
        numbers = {(run.at_once, run.side): [answer.number for answer in run.answers] for run in report.runs}
        assert numbers[1, "ours"] == numbers[1, "theirs"] == numbers[1, "before"]
        assert numbers[2, "ours"] == numbers[2, "theirs"]
        distinct = [*numbers[1, "ours"], *numbers[2, "ours"], *numbers[16, "ours"], *numbers[16, "plain"]]
        assert len(distinct) == len({*distinct}) == 2 + 2 + 16 + 16
        assert all(len(str(number)) == 6 for number in distinct)

    def test_plain_is_our_server_without_drafts_and_all_else_is_asked_as_it_is(self) -> None:
        _, clients, _ = measured(replace(PLAN, at_once=(1, 16), prompts=1, repeats=1))
        without = [more for _, _, more in clients["ours"].asked if more]
        assert without == [{"speculation": {"drafter": "none"}}] * (16 + 1 + 2), "a wave, and the warm-up"
        assert not any(more for _, _, more in clients["theirs"].asked)

    def test_words_are_compared_with_those_alone_on_the_same_server(self) -> None:
        report, _, _ = measured(replace(PLAN, repeats=1), steady=False)
        words = {(run.at_once, run.side): figures.words_of(run.answers) for run in report.runs}
        assert words[1, "ours"] is words[1, "theirs"] is None, "they are alone"
        assert words[2, "before"] is None, "an earlier build promised nothing"
        assert words[2, "ours"] == figures.Words(2, 2)
        assert words[2, "theirs"] == figures.Words(0, 2)
        assert words[16, "plain"] == words[16, "ours"] == figures.Words(16, 16)
        assert report.differences() == [], "theirs are counted"
        assert "0 of 2" in printed(report)

    def test_other_words_of_ours_are_warned_of(self) -> None:
        report, _, _ = measured(replace(PLAN, repeats=1))
        (index,) = (at for at, run in enumerate(report.runs) if (run.at_once, run.side) == (2, "ours"))
        one = report.runs[index]
        changed = replace(one.waves[0][0], same_alone=False)
        report.runs[index] = replace(one, waves=((changed, one.waves[0][1]),))
        (sentence,) = report.differences()
        assert f"Request {changed.number} of ours (2 at once, turn 1) has other words than alone" in sentence
        assert "warning" in printed(report)

    def test_a_server_that_goes_on_computing_is_told(self) -> None:
        report, _, _ = measured(replace(PLAN, at_once=(1,), repeats=1), settled=False)
        assert report.notes == ["A server was still busy when another one had its turn."]

    def test_a_server_that_fails_at_once_ends_it_and_one_that_fails_later_is_kept(self) -> None:
        report = ServeReport(MACHINE, "starter", None, replace(PLAN, at_once=(1,), repeats=1))
        dead = Servers({"ours": FakeClient(fails_at=1)}, {}, count=len)
        with pytest.raises(LookaheadError, match="The cable is out"):
            measure_serving(report, dead, number=100_001)
        dying = Servers({"ours": FakeClient(fails_at=8)}, {}, count=len)
        measure_serving(report, dying, number=100_001, settled_texts=2)
        assert report.complete
        assert any("The cable is out" in sentence for sentence in report.failures())
        assert "failed:" in printed(report)


class TestTogether:
    def asking(self, client: Client) -> Asking:
        return Asking(client, 9, {"extra": 1}, lambda text: len(text.split()))

    def test_answers_are_in_the_order_of_the_questions_with_text_counts_and_times(self) -> None:
        client = FakeClient()
        answers = ask_together(self.asking(client), [short_question(at, 100_001 + at) for at in range(3)])
        assert [answer.number for answer in answers] == [100_001, 100_002, 100_003]
        assert {(answer.text, answer.tokens, len(answer.text_s)) for answer in answers} == {("It is so.", 7, 4)}
        for answer in answers:
            assert [answer.asked_s, *answer.text_s, answer.end_s] == sorted(
                [answer.asked_s, *answer.text_s, answer.end_s]
            )
        assert {(max_tokens, more["extra"]) for _, max_tokens, more in client.asked} == {(9, 1)}

    def test_all_are_on_at_the_same_time(self) -> None:
        client = FakeClient(meeting=threading.Barrier(16))
        answers = ask_together(self.asking(client), [short_question(at, 100_001 + at) for at in range(16)])
        assert [answer.error for answer in answers] == [None] * 16

    def test_one_failure_is_that_answers_alone(self) -> None:
        client = FakeClient(fails_at=2)
        first = ask_together(self.asking(client), [short_question(0, 100_001)])
        second = ask_together(self.asking(client), [short_question(0, 100_002)])
        assert (first[0].error, second[0].error) == (None, "The cable is out.")
        assert (second[0].text, second[0].tokens) == ("It is", 2), "what came, counted by us"

    def test_the_late_question_comes_when_all_writers_have_settled_or_ended(self) -> None:
        client = FakeClient(pause_s=0.05)
        writers = [writers_question(at, 100_001 + at) for at in range(2)]
        wrote, late, tokens = ask_among_writers(self.asking(client), writers, long_question(100_003), 3, settled=2)
        assert all(late.asked_s >= answer.text_s[1] for answer in wrote)
        assert (late.number, tokens, client.asked[-1][1]) == (100_003, 40, 3)
        wrote, late, _ = ask_among_writers(self.asking(client), writers, long_question(100_003), 3, settled=99)
        assert all(late.asked_s >= answer.text_s[-1] for answer in wrote), "nobody waits for texts that never come"

    def test_whoever_is_interrupted_breaks_off_what_is_under_way(self) -> None:
        class Interrupting(FakeClient):
            def pieces(self, *asked: Any) -> Iterator[Piece]:
                raise KeyboardInterrupt

        client = Interrupting()
        with pytest.raises(KeyboardInterrupt):
            ask_together(self.asking(client), [short_question(0, 100_001)])
        assert client.closed


def test_questions_are_of_the_prompts_with_a_number_in_front() -> None:
    assert short_question(0, 123_456).text.startswith("Request 123456. Explain how a bicycle")
    assert short_question(50, 123_456).text == short_question(0, 123_456).text
    assert "Copy 123456 of a handbook" in long_question(123_456).messages[0]["content"]
    assert 1_400 < len(long_question(123_456).text.split()) < 1_600, "about 2,000 tokens"


def printed(report: ServeReport) -> str:
    console = Console(width=100, file=io.StringIO())
    with console.capture() as captured:
        console.print(serving_tables(report))
    return captured.get()


class TestReport:
    def test_it_survives_json_with_all_that_follows_from_it(self, tmp_path: Path) -> None:
        report, _, _ = measured(replace(PLAN, repeats=1))
        write_report(report, tmp_path / "report.json")
        assert read_report(tmp_path / "report.json") == report
        kept = json.loads((tmp_path / "report.json").read_text())
        assert kept["mode"] == "serve"
        pairs = [(one["at_once"], one["side"], one["reference"]) for one in kept["summary"]["ratios"]]
        both = [(at, "ours", other) for other in ("theirs", "before") for at in (1, 2)]
        assert pairs == [*both, (16, "ours", "plain")]
        assert [one["words"] for one in kept["summary"]["arrivals"]] == [{"same": 5, "compared": 5}] * 2
        assert kept["summary"]["arrivals"][0]["prompt_tokens"] == 40
        del kept["plan"]
        (tmp_path / "other.json").write_text(json.dumps(kept))
        with pytest.raises(LookaheadError, match="is no report"):
            read_report(tmp_path / "other.json")

    def test_the_tables_fit_a_hundred_columns_and_tell_the_conditions(self) -> None:
        report = ServeReport(MACHINE, "starter", None, replace(PLAN, repeats=1))
        answers = [an_answer(10.5, 12.25, 20.0, tokens=3_000, same_alone=True)] * 16
        for side, at_once in (("ours", 1), ("before", 16), ("plain", 16), ("ours", 16), ("theirs", 16)):
            report.runs += [Served(side, at_once, turn, (tuple(answers),), 1.0, 0.5) for turn in range(2)]
        writers = (an_answer(1.0, 2.0, 3.0, 99.0, same_alone=True),) * 4
        for side in ("ours", "theirs"):
            report.arrivals.append(Arrival(side, 0, writers, an_answer(90.0, asked=3.0, same_alone=False), 2_026))
        report.conditions["theirs"] = {"model": "default_model"}
        report.complete = False
        text = printed(report)
        for words in (
            "BLAS openblas",
            "answers of up to 6 tokens",
            "default_model",
            "16, ours / plain",
            "not finished",
        ):
            assert words in text
        assert "2400.0 (2400.0–2400.0)" in text
        assert "4 of 5" in text
        assert "96.0 (96.0–96.0)" in text
        assert "…" not in text
