"""The paired benches: what they run, in which order, and what follows from it. No test asks how fast anything was."""

import io
import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mlx_spec.bench.contenders import Answer, Answering
from mlx_spec.bench.paired.beside import measure_beside
from mlx_spec.bench.paired.chat_client import StreamedAnswer
from mlx_spec.bench.paired.cold import Ended, measure_cold
from mlx_spec.bench.paired.disturbed import measure_disturbed
from mlx_spec.bench.paired.models import ModelChoice
from mlx_spec.bench.paired.modes import MODES, ModeName
from mlx_spec.bench.paired.report import PairedReport, comparisons, differences, sameness, side_rows
from mlx_spec.bench.paired.runs import PairedRun
from mlx_spec.bench.plan import SEED, Scope
from mlx_spec.bench.prompts import prompts_of
from mlx_spec.bench.report_file import read_report, write_report
from mlx_spec.cli.commands.bench.paired_tables import paired_tables
from mlx_spec.errors import LookaheadError
from mlx_spec.machine.resources import data_folder
from tests.tiny import tiny_pair

MACHINE = {"device": "a chip", "cores": 2, "blas": "openblas", "mlx": "0.0", "date": "today", "load_1min": 0.1}
SCOPE = Scope(kinds=("chat",), temperatures=(0.0,), prompts=3, repeats=1, answer_tokens=12)


def a_report(mode: ModeName, scope: Scope = SCOPE) -> PairedReport:
    return PairedReport(mode, MACHINE, "starter", None, scope)


def a_run(side: str, prompt: int = 0, *, tokens: int = 10, seconds: float = 1.0, **values: Any) -> PairedRun:
    run = PairedRun(side, 0.0, "chat", prompt, 0, tokens=tokens, timed_tokens=tokens, seconds=seconds, token_ids=(1, 2))
    return replace(run, **values)


def printed(report: PairedReport) -> str:
    console = Console(width=100, file=io.StringIO())
    with console.capture() as captured:
        console.print(paired_tables(report))
    return captured.get()


class Processes:
    """`mlx-spec generate`, scripted: with drafts in half the time of decoding, and always a second of loading."""

    def __init__(self, said: dict[str, list[int]] | None = None) -> None:
        self.calls: list[tuple[list[str], dict[str, str]]] = []
        self._said = said or {}

    def __call__(self, arguments: list[str], environment: dict[str, str]) -> Ended:
        self.calls.append((arguments, environment))
        drafter = arguments[arguments.index("--drafter") + 1]
        home = Path(environment["LOOKAHEAD_HOME"])
        (home / "calibration").mkdir(exist_ok=True)
        (home / "calibration" / "kept.json").write_text('{"verify_ms": [40.0, 50.0]}')
        decoding = 1.0 if drafter == "auto" else 2.0
        stats = {"total_tokens_generated": 12, "total_time_ms": 1e3 * decoding, "rounds": 6}
        answer = {"token_ids": self._said.get(drafter, [5, 6]), "stats": stats}
        return Ended(0, json.dumps(answer), "", 1.0 + decoding)

    @property
    def drafters(self) -> list[str]:
        """Of all processes in turn."""
        return [arguments[arguments.index("--drafter") + 1] for arguments, _ in self.calls]

    @property
    def homes(self) -> list[str]:
        """Their data folders."""
        return [environment["LOOKAHEAD_HOME"] for _, environment in self.calls]


class TestCold:
    def test_processes_alternate_who_is_first_and_tell_the_gain_in_decoding_and_as_a_whole(self) -> None:
        processes, report, saved = Processes(), a_report("cold"), list[int]()
        measure_cold(report, ModelChoice(), start=processes, save=lambda so_far: saved.append(len(so_far.runs)))
        assert processes.drafters[1:] == ["auto", "none", "none", "auto", "auto", "none"]
        decoding, process = comparisons(report.runs, MODES["cold"])
        assert [ratio for _, ratio in decoding.by_block] == [2.0, 2.0, 2.0]
        assert process.spread.median == pytest.approx(3.0 / 2.0)
        assert saved == [2, 4, 6]
        assert report.complete

    def test_a_process_is_asked_as_a_person_asks(self) -> None:
        processes, models = Processes(), ModelChoice(target="/a/target", draft="none", anyway=True)
        measure_cold(a_report("cold", replace(SCOPE, temperatures=(0.7,), prompts=1)), models, start=processes)
        arguments = processes.calls[1][0]
        assert arguments[0] == "generate"
        assert arguments[-2:] == ["--", prompts_of("chat", 1)[0].text]
        options = dict(zip(arguments[2:-2:2], arguments[3:-2:2], strict=False))
        assert options["--temperature"] == "0.7"
        assert options["--seed"] == str(SEED)
        assert options["--max-tokens"] == "12"
        assert (options["--target"], options["--draft"]) == ("/a/target", "none")
        assert "--anyway" in arguments
        assert "--json" in arguments

    def test_one_process_calibrates_beforehand_for_all_and_the_persons_models_are_there(self) -> None:
        (data_folder() / "models" / "mine").mkdir(parents=True)
        seen = list[list[str]]()

        def start(arguments: list[str], environment: dict[str, str]) -> Ended:
            seen.append(sorted(path.name for path in Path(environment["LOOKAHEAD_HOME"]).glob("*/*")))
            return processes(arguments, environment)

        processes, report = Processes(), a_report("cold")
        measure_cold(report, ModelChoice(), start=start)
        assert len(set(processes.homes)) == 1
        assert str(data_folder()) not in processes.homes
        assert seen[0] == ["mine"]
        assert seen[1] == ["kept.json", "mine"]
        assert report.conditions["calibrated"] == [{"verify_ms": [40.0, 50.0]}]
        assert (data_folder() / "models" / "mine").is_dir(), "the models outlive the folder that was lent them"
        assert not Path(processes.homes[0]).exists()

    def test_a_first_start_has_a_folder_of_its_own_each_time(self) -> None:
        processes, report = Processes(), a_report("cold")
        measure_cold(report, ModelChoice(), first_start=True, start=processes)
        assert len(set(processes.homes)) == len(processes.homes) == 7
        assert len(report.conditions["calibrated"]) == 3

    def test_what_this_process_preloaded_is_found_anew(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LOOKAHEAD_BLAS", "preloaded")
        monkeypatch.setenv("LD_PRELOAD", "/lib/theirs.so:/usr/lib/libopenblas.so.0")
        processes = Processes()
        measure_cold(a_report("cold", replace(SCOPE, prompts=1)), ModelChoice(), start=processes)
        environment = processes.calls[-1][1]
        assert environment["LD_PRELOAD"] == "/lib/theirs.so"
        assert "LOOKAHEAD_BLAS" not in environment
        monkeypatch.setenv("LOOKAHEAD_BLAS", "off")
        measure_cold(a_report("cold", replace(SCOPE, prompts=1)), ModelChoice(), start=processes)
        assert processes.calls[-1][1]["LOOKAHEAD_BLAS"] == "off"

    def test_other_ids_are_warned_of(self) -> None:
        report = a_report("cold", replace(SCOPE, prompts=1))
        measure_cold(report, ModelChoice(), start=Processes({"none": [5, 7]}))
        (sentence,) = differences(report.runs, MODES["cold"])
        assert "'auto' and 'none' do not all say the same (temperature 0, chat prompt 1, repeat 1)" in sentence
        assert "warning" in printed(report)
        assert "the same ids at temperature 0: 0 of 1 answers" in printed(report)

    def test_the_sentence_of_a_process_that_fails_is_told(self) -> None:
        def start(arguments: list[str], environment: dict[str, str]) -> Ended:
            return Ended(2, "", "a bar\nmlx-spec: There is no model folder /nowhere.\n", 1.0)

        with pytest.raises(LookaheadError, match="A process of the measurement failed: There is no model folder"):
            measure_cold(a_report("cold"), ModelChoice(), start=start)


class Lane:
    """A contender that says the same tokens always, and writes down whether it was disturbed."""

    def __init__(self, name: str, seconds: float, turns: list[tuple[str, bool]], disturber: "Disturbance") -> None:
        self._name, self._seconds, self._turns, self._disturber = name, seconds, turns, disturber

    def warm_up(self, *arguments: object) -> None:
        """Nothing to do."""

    def answering(self, prompt_ids: Sequence[int], temperature: float, seed: int, max_tokens: int) -> Answering:
        """Two steps; three rounds in quiet, four when disturbed."""
        self._turns.append((self._name, self._disturber.on))
        yield 6
        rounds = 4 if self._disturber.on else 3
        seconds = self._seconds * (2 if self._disturber.on else 1)
        return Answer((7,) * 12, seconds, 0.0, ((3, rounds),), 0, 0, None)

    def answer(self, *arguments: Any) -> Answer:
        """In one go."""
        raise AssertionError("slices were asked for")


class Disturbance(nullcontext[Any]):
    """Stands for another process; only says whether it would be there."""

    on = False
    pid = 1
    share = 0.5

    def __enter__(self) -> None:
        self.on = True

    def __exit__(self, *ended: object) -> None:
        self.on = False


class TestDisturbed:
    def measured(self) -> tuple[PairedReport, list[tuple[str, bool]]]:
        turns, other = list[tuple[str, bool]](), Disturbance()
        ways: Any = {"auto": Lane("auto", 0.1, turns, other), "plain": Lane("plain", 0.2, turns, other)}
        report = a_report("disturbed", replace(SCOPE, slices=4))
        measure_disturbed(report, tiny_pair(0), contenders=ways, disturber=other)  # type: ignore[arg-type]
        return report, turns

    def test_each_prompt_is_answered_in_both_conditions_by_both_and_the_order_changes(self) -> None:
        report, turns = self.measured()
        quiet, loud = False, True
        assert [disturbed for _, disturbed in turns[::2]] == [quiet, loud, loud, quiet, quiet, loud]
        assert [name for name, _ in turns] == ["auto", "plain"] * 4 + ["plain", "auto"] * 2
        assert {run.side for run in report.runs} == set(MODES["disturbed"].sides)
        assert report.complete

    def test_ratios_are_within_a_condition_and_rounds_across_them(self) -> None:
        report, _ = self.measured()
        found = {one.heading: one.spread.median for one in comparisons(report.runs, MODES["disturbed"])}
        assert found["disturbed,\nauto / plain"] == pytest.approx(2.0, rel=0.2)  # with the wait at the end of turns
        assert found["tokens a round,\ndisturbed / quiet"] == pytest.approx(3 / 4)
        assert report.conditions["share of a core that the disturbing process had"] == 0.5

    def test_a_real_pair_says_the_same_disturbed_and_undisturbed(self) -> None:
        report = a_report("disturbed", replace(SCOPE, prompts=1, slices=4, answer_tokens=8))
        measure_disturbed(report, tiny_pair(0))
        assert sameness(report.runs, MODES["disturbed"])[0].same == 1
        assert len(report.runs) == 4
        assert "the same ids at temperature 0: 1 of 1 answers" in printed(report)


class Server:
    """Answers at once, though it says otherwise."""

    def __init__(self, name: str, turns: list[str], answer: StreamedAnswer) -> None:
        self._name, self._turns, self._answer = name, turns, answer

    def answer(self, text: str, temperature: float, max_tokens: int) -> StreamedAnswer:
        """What it was made with."""
        self._turns.append(self._name)
        return self._answer


class TestBeside:
    def measured(self, theirs: StreamedAnswer, *, settled: bool = True) -> tuple[PairedReport, list[str]]:
        turns, report = list[str](), a_report("beside")
        ours = Server("ours", turns, StreamedAnswer("one two", 13, 0.5, 1.5))
        count = lambda text: len(text.split())  # noqa: E731
        measure_beside(report, ours, Server("theirs", turns, theirs), count=count, settle=lambda: settled)
        return report, turns

    def test_servers_take_turns_to_begin_and_the_first_answers_do_not_count(self) -> None:
        report, turns = self.measured(StreamedAnswer("one two", 13, 1.0, 3.0))
        assert turns == ["ours", "theirs"] * 2 + ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
        assert len(report.runs) == 6
        assert report.complete

    def test_decoding_is_told_from_the_first_text_on_and_the_wait_for_it_apart(self) -> None:
        report, _ = self.measured(StreamedAnswer("one two", 13, 1.0, 3.0))
        decoding, first = comparisons(report.runs, MODES["beside"])
        assert decoding.spread.median == pytest.approx((12 / 1.0) / (12 / 2.0))
        assert first.spread.median == pytest.approx(1.0 / 0.5)
        assert sameness(report.runs, MODES["beside"])[0].same == 3

    def test_tokens_are_counted_by_us_where_the_other_does_not_tell(self) -> None:
        report, _ = self.measured(StreamedAnswer("one two three", None, 1.0, 3.0))
        run = next(run for run in report.runs if run.side == "theirs")
        assert (run.tokens, run.speed) == (3, pytest.approx(2 / 2.0))
        assert sameness(report.runs, MODES["beside"])[0].same == 0
        assert differences(report.runs, MODES["beside"]) == [], "another engine may say other words"

    def test_an_answer_without_text_or_all_at_once_has_no_speed(self) -> None:
        for answer in (StreamedAnswer("", 0, None, None), StreamedAnswer("one", 1, 1.0, 1.0)):
            report, _ = self.measured(answer)
            assert all(run.speed is None for run in report.runs if run.side == "theirs")
            assert "decoding" not in [
                one.heading.partition(",")[0] for one in comparisons(report.runs, MODES["beside"])
            ]
            assert "theirs" in printed(report)

    def test_a_server_of_ours_that_goes_on_computing_is_told(self) -> None:
        report, _ = self.measured(StreamedAnswer("one two", 13, 1.0, 3.0), settled=False)
        assert report.notes == ["Our own server was still busy at some of the other's turns."]


class TestReport:
    def filled(self) -> PairedReport:
        report = a_report("cold")
        measure_cold(report, ModelChoice(), start=Processes())
        report.notes.append("Something [odd] was seen.")
        return report

    def test_it_survives_json_with_all_that_follows_from_it(self, tmp_path: Path) -> None:
        report = self.filled()
        write_report(report, tmp_path / "report.json")
        again = read_report(tmp_path / "report.json")
        assert again == report
        kept = json.loads((tmp_path / "report.json").read_text())
        assert kept["summary"]["ratios"][0]["spread"]["median"] == 2.0
        assert kept["summary"]["sameness"] == [{"temperature": 0.0, "same": 3, "blocks": 3}]
        assert [row["side"] for row in kept["summary"]["sides"]] == ["auto", "none"]
        kept["mode"] = "other"
        (tmp_path / "other.json").write_text(json.dumps(kept))
        with pytest.raises(LookaheadError, match="is no report"):
            read_report(tmp_path / "other.json")

    def test_the_table_has_each_prompt_medians_ranges_and_conditions_in_a_hundred_columns(self) -> None:
        text = printed(self.filled())
        for words in ("chat 1", "chat 3", "median", "2.00 to 2.00", "verify_ms 40 50", "load average", "a chip"):
            assert words in text
        assert "Something [odd] was seen." in text
        assert "…" not in text

    def test_medians_and_ranges_are_of_the_blocks_that_both_sides_have(self) -> None:
        runs = [a_run("auto", at, seconds=seconds) for at, seconds in enumerate((1.0, 0.5, 0.25))]
        runs += [a_run("none", at) for at in range(2)]
        (decoding,) = comparisons(runs, MODES["cold"])
        assert (decoding.spread.median, decoding.spread.least, decoding.spread.greatest) == (1.5, 1.0, 2.0)
        rows = side_rows(runs, MODES["cold"])
        assert [(row.side, row.speed.count if row.speed else 0) for row in rows] == [("auto", 3), ("none", 2)]
