"""What `bench --predicted` asks and tells. No test asks how fast anything was."""

import pytest

from mlx_spec.bench.paired import predicted
from mlx_spec.bench.paired.modes import MODES, PLAIN, RIGHT, UNPREDICTED, WRONG
from mlx_spec.bench.paired.predicted import measure_predicted
from mlx_spec.bench.paired.report import PairedReport, comparisons, sameness
from mlx_spec.bench.plan import Scope
from mlx_spec.bench.prompts import EDITS, edits, prompts_of
from mlx_spec.bench.session import Encoded
from tests.tiny import pair_of, tiny_llama


def test_the_files_have_sixty_lines_and_three_of_them_change() -> None:
    prompts, known = prompts_of(EDITS), edits()
    assert len(prompts) == len(known) == 2
    for prompt, edit in zip(prompts, known, strict=True):
        assert "three changes" in prompt.text
        assert prompt.text.endswith(edit.file)
        lines = list(zip(edit.file.splitlines(), edit.changed.splitlines(), strict=True))
        assert len(lines) == 60
        assert sum(before != after for before, after in lines) == 3


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
    for run in report.runs:
        assert run.token_ids == tuple(pair.encode_part(edits()[run.prompt].changed)[:48])
    headings = [one.heading for one in comparisons(report.runs, MODES["predicted"])]
    assert "right\n/ plain" in headings
    rounds = {
        side: sum(run.rounds or 0 for run in report.runs if run.side == side) for side in MODES["predicted"].sides
    }
    assert rounds[RIGHT] < rounds[PLAIN]
