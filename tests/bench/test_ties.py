"""What a comparison of fast passes with plain steps counts, and that it can be made."""

from types import SimpleNamespace

import pytest

from mlx_spec.bench import ties
from mlx_spec.bench.ties import Said, compared, measure_ties
from mlx_spec.cli.commands.bench.ties import tie_lines
from tests.tiny import tiny_pair


def test_tokens_count_up_to_the_first_that_differs() -> None:
    plain = [Said((1, 2, 3), (0.5, 0.4, 0.3)), Said((1, 2, 3, 4), (0.9, 0.001, 0.0005, 0.2)), Said((7,), (None,))]
    fast = [plain[0], Said((1, 9, 3, 4), (0.9, 0.002, 0.5, 0.2)), plain[2]]
    report = compared(plain, fast)
    assert (report.answers, report.compared, report.different) == (3, 3 + 2 + 1, 1)
    assert report.margins == (0.001,)
    assert report.least == 0.001, "what comes behind a difference says nothing"
    assert "1 tokens are others" in "\n".join(tie_lines(report))


def test_answers_are_compared_plain_fast_and_strict() -> None:
    report = measure_ties(tiny_pair(), 3, 5, lambda stage, fraction: None, strict=True)
    assert (report.answers, report.strict_different) == (3, 0)
    assert 0 < report.compared <= 15
    assert report.least is not None
    assert report.least > 0


def test_where_strict_steps_have_kernels_of_ours_they_are_what_strict_passes_are_compared_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[object, ...]] = []
    alone = ties._alone
    monkeypatch.setattr(ties, "dispatch", SimpleNamespace(serves=lambda: True))
    monkeypatch.setattr(ties, "_alone", lambda *args: asked.append(args[4:]) or alone(*args))
    assert measure_ties(tiny_pair(), 1, 2, lambda stage, fraction: None, strict=True).strict_different == 0
    assert asked == [(), ("strict",)]
