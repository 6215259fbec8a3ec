"""What a comparison of fast passes with plain steps counts, and that it can be made."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlx_spec import SpeculativeConfig, SpeculativeDecoder
from mlx_spec.bench import ties
from mlx_spec.bench.report_file import read_report, write_report
from mlx_spec.bench.ties import END, Said, TieReport, compared, measure_ties
from mlx_spec.cli.commands.bench.ties import tie_lines
from tests.tiny import tiny_pair


def silent(stage: str, fraction: float) -> None: ...


def test_tokens_count_up_to_the_first_that_differs() -> None:
    plain = [Said((1, 2, 3), (0.5, 0.4, 0.3)), Said((1, 2, 3, 4), (0.9, 0.001, 0.0005, 0.2)), Said((7,), (None,))]
    fast = [plain[0], Said((1, 9, 3, 4), (0.9, 0.002, 0.5, 0.2), drafted=5, accepted=3), plain[2]]
    report = compared(plain, fast, (0.0, 0.7, 1.0))
    assert (report.answers, report.compared, report.drafted, report.accepted) == (3, 3 + 2 + 1, 5, 3)
    (difference,) = report.differences
    assert (difference.answer, difference.temperature, difference.place) == (1, 0.7, 1)
    assert (difference.token_ids, difference.margins) == ((2, 9), (0.001, 0.002))
    assert report.margins == (0.001,)
    assert report.least == 0.001, "what comes behind a difference says nothing"
    assert "1 token is another" in "\n".join(tie_lines(report))


def test_an_answer_that_ends_where_the_other_goes_on_is_another() -> None:
    short, long = Said((1, END), (0.5, 0.01)), Said((1, 2, 3), (0.5, 0.02, 0.3))
    for plain, fast, margin in ((short, long, 0.01), (long, short, 0.02)):
        report = compared([plain], [fast], (0.0,))
        assert (report.compared, len(report.differences), report.margins) == (2, 1, (margin,))


def test_where_nothing_else_could_have_been_said_a_difference_is_no_tie() -> None:
    report = compared([Said((1,), (None,))], [Said((2,), (0.1,))], (0.0,))
    assert report.margins == (float("inf"),)


def test_answers_are_compared_plain_fast_and_strict(tmp_path: Path) -> None:
    saved: list[TieReport] = []
    report = measure_ties(tiny_pair(), 3, 5, silent, saved.append, strict=True)
    assert (report.answers, report.strict_differences) == (3, ())
    assert 0 < report.compared <= 15
    assert report.least is not None
    assert report.least > 0
    assert saved[-1] == report
    write_report(report, tmp_path / "ties.json")
    shown = read_report(tmp_path / "ties.json")
    assert json.dumps(shown.to_dict()) == json.dumps(report.to_dict())
    assert isinstance(shown, TieReport)
    assert tie_lines(shown) == tie_lines(report)


def test_how_near_an_end_was_is_known() -> None:
    pair = tiny_pair()
    asked = ties._asked(pair, 1)
    *rounds, end = SpeculativeDecoder(pair, SpeculativeConfig(exactness="fast"), drafter="none").stream(*asked[0], 8)
    whole = ties._said([*rounds, end])
    pair.tokenizer.eos_token_ids = {whole.token_ids[2]}
    at = whole.token_ids.index(whole.token_ids[2])
    ended = ties._said(
        SpeculativeDecoder(pair, SpeculativeConfig(exactness="fast"), drafter="none").stream(*asked[0], 8)
    )
    assert ended.token_ids == (*whole.token_ids[:at], END)
    assert ended.margins == whole.margins[: at + 1]


def test_what_is_known_after_each_part_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ties, "_PROMPTS", 2)
    saved: list[TieReport] = []
    report = measure_ties(tiny_pair(), 3, 2, silent, saved.append)
    assert [one.answers for one in saved] == [0, 2, 3]
    assert saved[-1] == report
    assert report.strict_differences is None


def test_where_strict_steps_have_kernels_of_ours_they_are_what_strict_passes_are_compared_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    alone = ties._Sides._alone
    monkeypatch.setattr(ties, "dispatch", SimpleNamespace(serves=lambda: True))
    monkeypatch.setattr(ties._Sides, "_alone", lambda *args: asked.append(args[-1]) or alone(*args))
    assert measure_ties(tiny_pair(), 1, 2, silent, strict=True).strict_differences == ()
    assert asked == ["fast", "strict"]
