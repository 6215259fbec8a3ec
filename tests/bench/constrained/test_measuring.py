"""Answers by schemas, measured three ways: the same words with and without drafts, and all of them valid."""

import jsonschema
import pytest

from mlx_spec.bench.constrained.measuring import (
    BASELINE,
    DRAFTED,
    PLAIN,
    ConstrainedRun,
    ConstrainedScope,
    measure_constrained,
    rows_of,
)
from mlx_spec.bench.constrained.schemas import SCHEMAS
from mlx_spec.cli.commands.bench.constrained import constrained_lines, scope_of
from mlx_spec.errors import ConfigError
from tests.tiny import pair_of, tiny_llama


def test_all_three_answer_by_the_schema_and_take_turns() -> None:
    pair = pair_of(tiny_llama(0), None)
    scope = ConstrainedScope(schemas=1, seeds=1, temperatures=(0.0,), answer_tokens=120)
    facts, runs = measure_constrained(pair, scope)
    assert [run.contender for run in runs] == [DRAFTED, PLAIN, BASELINE]
    assert [run.valid for run in runs] == [True, True, True]
    assert runs[0].token_ids == runs[1].token_ids == runs[2].token_ids  # at temperature 0 mlx-lm's are the same
    assert runs[0].rounds < runs[1].rounds == runs[1].tokens
    (row,) = rows_of(runs)
    assert (row.answers, row.same, row.whole, row.invalid, row.cut) == (1, 1, 1, 0, 0)
    assert "1 of 1 with the ids of ours plain" in "\n".join(constrained_lines(facts, scope, [row]))


def test_ratios_are_of_tokens_a_second() -> None:
    def run(name: str, schema: str, tokens: int, seconds: float, ids: tuple[int, ...] = (1,)) -> ConstrainedRun:
        return ConstrainedRun(name, schema, 0.5, 7, tokens, seconds, ids, 4, 3, 5, True)

    runs = [run(DRAFTED, "a", 20, 1.0), run(PLAIN, "a", 20, 2.0), run(BASELINE, "a", 30, 6.0, (2,))]
    runs += [run(DRAFTED, "b", 10, 1.0, (3,)), run(PLAIN, "b", 10, 1.0), run(BASELINE, "b", 10, 1.0)]
    (row,) = rows_of(runs)
    assert (row.same, row.answers) == (1, 2)
    assert row.over_plain == (1.5, 1.0, 2.0, pytest.approx(15 / 10))
    assert row.over_mlx_lm == (2.5, 1.0, 4.0, pytest.approx(15 / (40 / 7)))
    assert (row.tokens_per_round, row.acceptance) == (3.0, 0.75)


def test_the_schemas_are_schemas_and_the_options_that_count_are_told() -> None:
    assert len(SCHEMAS) == len({asked.name for asked in SCHEMAS}) == 20
    for asked in SCHEMAS:
        jsonschema.Draft202012Validator.check_schema(asked.schema)
    assert scope_of({"prompts": 3, "repeats": None}) == ConstrainedScope(schemas=3)
    with pytest.raises(ConfigError, match="no part in --constrained"):
        scope_of({"kv_bits": 4})
    with pytest.raises(ConfigError, match="from 1 to 20"):
        scope_of({"prompts": 21})
