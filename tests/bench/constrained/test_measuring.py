"""Answers by schemas, measured three ways: the same words with and without drafts, and all of them valid."""

from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from mlx_spec.bench.constrained.measuring import measure_constrained
from mlx_spec.bench.constrained.report import (
    BASELINE,
    DRAFTED,
    PLAIN,
    ConstrainedReport,
    ConstrainedRun,
    ConstrainedScope,
)
from mlx_spec.bench.constrained.schemas import SCHEMAS
from mlx_spec.bench.machine import machine_facts
from mlx_spec.bench.report_file import read_report, write_report
from mlx_spec.cli.commands.bench.constrained import constrained_lines, constrained_scope
from mlx_spec.errors import ConfigError
from tests.tiny import pair_of, tiny_llama


def report_of(scope: ConstrainedScope | None = None) -> ConstrainedReport:
    return ConstrainedReport({}, "tiny", None, scope or ConstrainedScope())


def test_all_three_answer_by_the_schema_take_turns_and_are_kept(tmp_path: Path) -> None:
    pair, kept = pair_of(tiny_llama(0), None), tmp_path / "report.json"
    report = report_of(ConstrainedScope(schemas=1, seeds=2, temperatures=(0.0,), answer_tokens=120))
    seen: list[tuple[int, bool]] = []
    fractions: list[float] = []

    def save(one: ConstrainedReport) -> None:
        seen.append((len(one.runs), one.complete))
        write_report(one, kept)

    def tell(stage: str, fraction: float) -> None:
        if stage == "measuring":
            fractions.append(fraction)

    measure_constrained(report, pair, tell=tell, save=save)
    assert seen == [(3, False), (6, True)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    runs = report.runs
    assert [run.contender for run in runs] == [DRAFTED, PLAIN, BASELINE, PLAIN, BASELINE, DRAFTED]
    assert all(run.valid for run in runs)
    assert runs[0].token_ids == runs[1].token_ids == runs[2].token_ids  # at temperature 0 mlx-lm's are the same
    assert runs[0].rounds < runs[1].rounds == runs[1].tokens == len(runs[1].token_ids)
    (row,) = report.rows()
    assert (row.answers, row.same, row.whole, row.invalid, row.cut) == (2, 2, 2, 0, 0)
    told = replace(report, machine=machine_facts())
    assert "2 of 2 with the ids of ours plain" in "\n".join(constrained_lines(told))
    assert read_report(kept) == report


def test_ratios_are_of_tokens_a_second() -> None:
    def run(name: str, schema: str, tokens: int, seconds: float, ids: tuple[int, ...] = (1,)) -> ConstrainedRun:
        return ConstrainedRun(name, schema, 0.5, 7, tokens, seconds, 0.02, ids, 4, 3, 5, True)

    runs = [run(DRAFTED, "a", 20, 1.0), run(PLAIN, "a", 20, 2.0), run(BASELINE, "a", 30, 6.0, (2,))]
    runs += [run(DRAFTED, "b", 10, 1.0, (3,)), run(PLAIN, "b", 10, 1.0), run(BASELINE, "b", 10, 1.0)]
    report = report_of()
    report.runs = runs
    (row,) = report.rows()
    assert (row.same, row.answers) == (1, 2)
    assert row.over_plain == (1.5, 1.0, 2.0, pytest.approx(15 / 10))
    assert row.over_mlx_lm == (2.5, 1.0, 4.0, pytest.approx(15 / (40 / 7)))
    assert (row.tokens_per_round, row.acceptance) == (3.0, 0.75)
    assert row.host_ms_per_round == pytest.approx(4.0)


def test_the_schemas_are_schemas_and_the_options_that_count_are_told() -> None:
    assert len(SCHEMAS) == len({asked.name for asked in SCHEMAS}) == 20
    for asked in SCHEMAS:
        jsonschema.Draft202012Validator.check_schema(asked.schema)
    assert constrained_scope({"prompts": 3, "repeats": None}) == ConstrainedScope(schemas=3)
    with pytest.raises(ConfigError, match="no part in --constrained"):
        constrained_scope({"kv_bits": 4})
    with pytest.raises(ConfigError, match="from 1 to 20"):
        constrained_scope({"prompts": 21})
