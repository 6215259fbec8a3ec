"""`mlx-spec bench --constrained`: what it measures of, and how that is shown."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mlx_spec.bench.constrained.measuring import (
    BASELINE,
    DRAFTED,
    PLAIN,
    ConstrainedRow,
    ConstrainedScope,
    measure_constrained,
    rows_of,
)
from mlx_spec.bench.constrained.schemas import SCHEMAS
from mlx_spec.bench.paired.models import ModelChoice
from mlx_spec.cli.commands.bench.cells import machine_line
from mlx_spec.cli.terminal.consent import load_with_consent
from mlx_spec.cli.terminal.json_output import write_json
from mlx_spec.cli.terminal.progress import StageProgress
from mlx_spec.errors import ConfigError

_OPTIONS = {"prompts": "schemas", "repeats": "seeds", "temperatures": "temperatures", "answer_tokens": "answer_tokens"}


def scope_of(chosen: Mapping[str, Any]) -> ConstrainedScope:
    """From the options that were given, of which these count: `--prompts` schemas, `--repeats` seeds, `--temperatures`,
    `--answer-tokens`. Raises ConfigError."""
    given = {name: value for name, value in chosen.items() if value is not None}
    for name, value in given.items():
        if name not in _OPTIONS:
            raise ConfigError(name, value, "left out: it has no part in --constrained")
    for name, most in (("prompts", len(SCHEMAS)), ("repeats", 1000), ("answer_tokens", 100_000)):
        if name in given and not 1 <= given[name] <= most:
            raise ConfigError(name, given[name], f"a whole number from 1 to {most}")
    return ConstrainedScope(**{_OPTIONS[name]: value for name, value in given.items()})


def tell_constrained(models: ModelChoice, chosen: Mapping[str, Any], *, as_json: bool) -> None:
    """Measure, and print some lines, or an object with every run."""
    scope = scope_of(chosen)
    with StageProgress() as progress:
        pair = load_with_consent(models.name, models.draft, progress, anyway=models.anyway)
        facts, runs = measure_constrained(pair, scope, progress.tell)
    rows = rows_of(runs)
    if as_json:
        measured = {"rows": [asdict(row) for row in rows], "runs": [asdict(run) for run in runs]}
        write_json({"machine": facts, **measured})
    else:
        sys.stdout.write("\n".join(constrained_lines(facts, scope, rows)) + "\n")


def constrained_lines(facts: dict[str, Any], scope: ConstrainedScope, rows: Sequence[ConstrainedRow]) -> list[str]:
    """A few lines a temperature, for a person."""
    lines = [machine_line(facts), f"answers by {scope.schemas} schemas, {scope.seeds} seeds each, in turns:"]
    for row in rows:
        speeds = ", ".join(f"{name} {row.tokens_per_second[name]:.1f}" for name in (DRAFTED, PLAIN, BASELINE))
        lines += [
            f"  temperature {row.temperature:g}: {row.same} of {row.answers} with the ids of {PLAIN}; "
            f"{row.whole} whole and valid, {row.invalid} invalid, {row.cut} cut or not judged",
            f"    tokens a second: {speeds}",
            f"    {DRAFTED} / {PLAIN}: {_shown(row.over_plain)}",
            f"    {DRAFTED} / {BASELINE}: {_shown(row.over_mlx_lm)}",
            f"    {row.tokens_per_round:.2f} tokens a round, {row.acceptance:.0%} of the drafts accepted",
        ]
    return lines


def _shown(ratios: tuple[float, float, float, float]) -> str:
    median, least, greatest, together = ratios
    return f"{median:.2f}x, median of schemas ({least:.2f}–{greatest:.2f}); {together:.2f}x of all tokens and seconds"
