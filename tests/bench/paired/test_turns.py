"""The chats of three turns: their text, who answers when, and what follows. No test asks how fast anything was."""

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from mlx_spec.bench.paired import chats, turns
from mlx_spec.bench.paired.chat_client import StreamedAnswer
from mlx_spec.bench.paired.chats import FIRST_COPY, BenchChat, Message, chats_of
from mlx_spec.bench.paired.modes import MODES, ModeName
from mlx_spec.bench.paired.partners import Reply
from mlx_spec.bench.paired.report import PairedReport, comparisons, differences, sameness, side_rows
from mlx_spec.bench.paired.turns import hold_chats, measure_turns, measure_turns_beside
from mlx_spec.bench.plan import Scope
from mlx_spec.bench.report_file import read_report, write_report
from mlx_spec.cli.commands.bench.paired_tables import paired_tables
from mlx_spec.errors import PromptError
from tests.tiny import tiny_pair

MACHINE = {"device": "a chip", "cores": 2, "blas": "openblas", "mlx": "0.0", "date": "today", "load_1min": 0.1}
SCOPE = Scope(kinds=("chat",), temperatures=(0.0,), prompts=2, repeats=1, answer_tokens=12)


def a_report(mode: ModeName = "turns", scope: Scope = SCOPE) -> PairedReport:
    return PairedReport(mode, MACHINE, "starter", None, scope)


def printed(report: PairedReport) -> str:
    console = Console(width=100, file=io.StringIO())
    with console.capture() as captured:
        console.print(paired_tables(report))
    return captured.get()


class Scripted:
    """A side that says what it was made with; its first text takes so many seconds in turns 1, 2 and 3."""

    def __init__(self, name: str, seconds: tuple[float, ...], heard: list[tuple[str, list[Message]]], ids: int) -> None:
        self._name, self._seconds, self._heard, self._ids = name, seconds, heard, ids

    def reply(self, messages: Sequence[Message], temperature: float, seed: int, max_tokens: int) -> Reply:
        self._heard.append((self._name, list(messages)))
        turn = len(messages) // 2
        said = f"{self._name} {turn + 1}"
        cached = 0 if turn == 0 else 64 * turn
        return Reply(
            said, 12, 12, 1.0, self._seconds[turn], 6, (self._ids, turn), prompt_tokens=100, cached_tokens=cached
        )


class TestChats:
    def test_each_has_a_long_text_of_its_own_then_two_short_questions(self) -> None:
        found = chats_of(99)
        assert [chat.index for chat in found] == list(range(7))
        assert len({question for chat in found for question in chat.questions}) == 3 * len(found)
        for chat in found:
            first, *others = chat.questions
            assert 7_000 < len(first) < 9_000, "about 2,000 tokens of the starter's"
            assert max(map(len, others)) < 200
            for section in range(1, 9):
                assert f"\n{section}. The " in first or f"\n{section}. Rules" in first

    def test_no_two_begin_alike_and_none_like_one_of_another_copy(self) -> None:
        found = [*chats_of(7), *chats_of(7, FIRST_COPY + 7)]
        beginnings = {chat.questions[0][: len("Copy 100001")] for chat in found}
        assert len(beginnings) == 14

    def test_a_conversation_goes_on_from_its_answers(self) -> None:
        chat = BenchChat(0, ("a", "c", "e"))
        assert chat.messages(()) == [{"role": "user", "content": "a"}]
        assert [one["content"] for one in chat.messages(("b", "d"))] == ["a", "b", "c", "d", "e"]
        assert [one["role"] for one in chat.messages(("b",))] == ["user", "assistant", "user"]


class TestHolding:
    def held(self, scope: Scope = SCOPE, ids: int = 1) -> tuple[PairedReport, list[tuple[str, list[Message]]]]:
        heard, report = list[tuple[str, list[Message]]](), a_report(scope=scope)
        kept, cold = Scripted("a", (8.0, 0.25, 0.5), heard, 1), Scripted("b", (8.0, 10.0, 12.0), heard, ids)
        hold_chats(report, {"prefixes": kept, "cold": cold})
        return report, heard

    def test_all_chats_have_their_turn_before_the_next_and_who_is_first_alternates(self) -> None:
        report, heard = self.held()
        order = [(run.turn, run.prompt, run.side) for run in report.runs]
        assert [(turn, chat) for turn, chat, _ in order[::2]] == [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)]
        for chat in (0, 1):
            first = [side for _, at, side in order[::2] if at == chat]
            assert set(first) == {"prefixes", "cold"}
        assert len(heard) == 2 + 12, "what warms up does not count"
        assert report.complete

    def test_each_side_goes_on_from_its_own_answers(self) -> None:
        _, heard = self.held()
        last = [messages for _, messages in heard if len(messages) == 5]
        assert {tuple(one["content"] for one in messages[1::2]) for messages in last} == {
            ("a 1", "a 2"),
            ("b 1", "b 2"),
        }

    def test_nobody_hears_a_beginning_twice_but_of_its_own_chat(self) -> None:
        scope = replace(SCOPE, repeats=2, temperatures=(0.0, 1.0))
        _, heard = self.held(scope)
        firsts = [messages[0]["content"] for name, messages in heard if name == "a" and len(messages) == 1]
        assert len(firsts) == len(set(firsts)) == 1 + 2 * 2 * 2

    def test_it_is_kept_after_each_turn(self) -> None:
        saved, heard = list[tuple[int, bool]](), list[tuple[str, list[Message]]]()
        one = Scripted("a", (1.0, 1.0, 1.0), heard, 1)
        report = a_report(scope=replace(SCOPE, prompts=1))
        hold_chats(
            report,
            {"prefixes": one, "cold": one},
            save=lambda so_far: saved.append((len(so_far.runs), so_far.complete)),
        )
        assert saved == [(2, False), (4, False), (6, True)]

    def test_waits_are_told_by_turn_against_the_other_side_and_against_the_first_turn(self) -> None:
        report, _ = self.held()
        ratios = [(one.heading, one.spread.median) for one in comparisons(report.runs, MODES["turns"])]
        assert ratios == [
            ("turn 1,\nprefixes / cold", 1.0),
            ("turn 2,\nprefixes / cold", 40.0),
            ("turn 3,\nprefixes / cold", 24.0),
        ]
        rows = side_rows(report.runs, MODES["turns"])
        of_first = [row.of_first_turn.median if row.of_first_turn else None for row in rows]
        assert of_first == [None, 0.25 / 8, 0.5 / 8, None, 10 / 8, 12 / 8]
        assert [(row.side, row.turn, row.cached_tokens) for row in rows[:3]] == [
            ("prefixes", 1, 0),
            ("prefixes", 2, 64),
            ("prefixes", 3, 128),
        ]
        assert sameness(report.runs, MODES["turns"])[0].same == 6
        assert differences(report.runs, MODES["turns"]) == []

    def test_other_ids_are_warned_of_with_their_turn(self) -> None:
        report, _ = self.held(replace(SCOPE, prompts=1), ids=2)
        sentences = differences(report.runs, MODES["turns"])
        assert len(sentences) == 3
        assert "(temperature 0, chat prompt 1, repeat 1, turn 2)" in sentences[1]

    def test_it_survives_json_and_the_table_fits_a_hundred_columns(self, tmp_path: Path) -> None:
        report, _ = self.held()
        write_report(report, tmp_path / "report.json")
        again = read_report(tmp_path / "report.json")
        assert again == report
        kept = json.loads((tmp_path / "report.json").read_text())
        assert kept["summary"]["sides"][1]["of_first_turn"]["median"] == 0.25 / 8
        text = printed(report)
        for words in ("2 chats of 3 turns, answers of up to 12 tokens", "prefixes, turn 2", "250 (250–250)"):
            assert words in text
        assert "0.031 (0.031–0.031)" in text
        assert "the same ids at temperature 0: 6 of 6 answers" in text
        assert "…" not in text


class Server:
    """Knows nothing before, and counts as it likes; sets no thoughts apart but its own."""

    def __init__(self, answer: StreamedAnswer) -> None:
        self.heard: list[list[Message]] = []
        self._answer = answer

    def reply(self, messages: Sequence[Message], temperature: float, max_tokens: int) -> StreamedAnswer:
        self.heard.append(list(messages))
        return self._answer


class TestBeside:
    def measured(self, *, settled: bool = True) -> tuple[PairedReport, Server]:
        report = a_report("turns-beside", replace(SCOPE, prompts=1))
        ours, theirs = (
            Server(StreamedAnswer("one two", 13, 0.5, 1.5, "one two", 90, 64)),
            Server(StreamedAnswer("Hm. one two", None, 1.0, 3.0, "one two")),
        )
        count = lambda text: len(text.split())  # noqa: E731
        measure_turns_beside(report, ours, theirs, copy=123_456, count=count, settle=lambda: settled)
        return report, theirs

    def test_servers_are_told_as_a_client_sees_them(self) -> None:
        report, _ = self.measured()
        assert [one.spread.median for one in comparisons(report.runs, MODES["turns-beside"])] == [2.0, 2.0, 2.0]
        ours, theirs = (next(run for run in report.runs if run.side == side) for side in ("ours", "theirs"))
        assert (ours.prompt_tokens, ours.cached_tokens, ours.others is None) == (90, 64, False)
        assert (theirs.tokens, theirs.cached_tokens, theirs.others) == (3, None, None)
        assert differences(report.runs, MODES["turns-beside"]) == [], "another engine may say other words"
        assert "the same text at temperature 0: 0 of 3 answers" in printed(report)

    def test_a_chat_goes_on_without_the_reasoning_and_of_a_copy_of_its_own(self) -> None:
        _, theirs = self.measured()
        assert [one["content"] for one in theirs.heard[-1][1::2]] == ["one two", "one two"]
        beginnings = [messages[0]["content"][: len("Copy 123456")] for messages in theirs.heard]
        assert beginnings == ["Copy 123456"] + ["Copy 123457"] * 3

    def test_a_server_of_ours_that_goes_on_computing_is_told(self) -> None:
        report, _ = self.measured(settled=False)
        assert report.notes == ["Our own server was still busy at some of the other's turns."]


class TestDecoders:
    @pytest.fixture(autouse=True)
    def _short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Texts of a few hundred bytes, each a token of the tiny models."""
        whole = chats._first
        monkeypatch.setattr(chats, "_first", lambda at, copy, question: whole(at, copy, question)[:400])

    def test_turns_after_the_first_are_found_with_prefixes_and_say_the_same(self) -> None:
        report = a_report(scope=replace(SCOPE, temperatures=(0.0, 0.8)))
        measure_turns(report, tiny_pair(0))
        known = [run.cached_tokens or 0 for run in report.runs if run.side == "prefixes" and run.turn != 1]
        assert len(known) == 8
        assert min(known) > 256, "both chats are kept"
        assert {run.cached_tokens for run in report.runs if run.side == "cold" or run.turn == 1} == {0}
        assert [one.same for one in sameness(report.runs, MODES["turns"])] == [6, 6]
        assert all(run.first_text_seconds is None or run.first_text_seconds > 0 for run in report.runs)
        assert report.conditions["kept"]["MB"] > 0
        assert report.complete

    def test_a_context_too_small_is_one_sentence(self) -> None:
        pair = replace(tiny_pair(0), context_length=300)
        with pytest.raises(
            PromptError, match=r"No chat fits: it takes .* tokens, and the context of tiny-target holds 300"
        ):
            measure_turns(a_report(), pair)


def test_what_is_asked_and_what_is_kept_have_one_kind() -> None:
    assert MODES["turns"].settled == MODES["turns-beside"].settled == {"kinds": (turns._KIND,)}
