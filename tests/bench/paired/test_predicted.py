"""What `bench --predicted` asks and tells. No test asks how fast anything was."""

import pytest

from mlx_spec.bench.paired.modes import MODES, PLAIN, RIGHT, UNPREDICTED, WRONG
from mlx_spec.bench.paired.predicted import measure_predicted, with_changes
from mlx_spec.bench.paired.report import PairedReport, comparisons, sameness
from mlx_spec.bench.plan import Scope
from mlx_spec.bench.prompts import EDITS, prompts_of
from mlx_spec.bench.session import Encoded
from tests.tiny import pair_of, tiny_llama

pytestmark = pytest.mark.usefixtures("uncompiled")


def test_the_files_have_sixty_lines() -> None:
    for prompt in prompts_of(EDITS):
        asked, _, file = prompt.text.partition("\n\n")
        assert "three changes" in asked
        assert len(file.splitlines()) == 60


def test_three_lines_of_a_right_prediction_are_others() -> None:
    lines = [f"line {at} says something" for at in range(20)]
    changed = with_changes("\n".join(lines)).split("\n")
    assert [at for at in range(20) if changed[at] != lines[at]] == [5, 10, 15]
    assert changed[10] == "line 10 says another2"
    assert with_changes("") == ""
    assert with_changes("one") == "another1"


def test_all_sides_say_the_same_and_a_right_prediction_takes_fewer_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = predicted.encoded_prompts
    monkeypatch.setattr(
        predicted, "encoded_prompts", lambda *told: [Encoded(one.prompt, one.ids[:60]) for one in encoded(*told)]
    )
    pair = pair_of(tiny_llama(0), None, context=8192)
    scope = Scope(kinds=(EDITS,), temperatures=(0.8,), prompts=2, repeats=1, answer_tokens=48, slices=16)
    report = PairedReport("predicted", {}, "tiny", None, scope)
    measure_predicted(report, pair)
    assert report.complete
    assert [(one.same, one.blocks) for one in sameness(report.runs, MODES["predicted"])] == [(2, 2)]
    assert {run.side for run in report.runs} == {PLAIN, UNPREDICTED, RIGHT, WRONG}
    headings = [one.heading for one in comparisons(report.runs, MODES["predicted"])]
    assert "right\n/ plain" in headings
    rounds = {
        side: sum(run.rounds or 0 for run in report.runs if run.side == side) for side in MODES["predicted"].sides
    }
    assert rounds[RIGHT] < rounds[PLAIN]
