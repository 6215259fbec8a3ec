"""`mlx-spec bench --constrained`: what it measures of, and how that is shown."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlx_spec.bench.constrained.measuring import measure_constrained
from mlx_spec.bench.constrained.report import BASELINE, DRAFTED, PLAIN, ConstrainedReport, ConstrainedScope
from mlx_spec.bench.constrained.schemas import SCHEMAS
from mlx_spec.bench.machine import machine_facts
from mlx_spec.bench.paired.models import ModelChoice
from mlx_spec.cli.commands.bench.cells import machine_line
from mlx_spec.cli.commands.bench.measuring import told_where_kept
from mlx_spec.cli.terminal.consent import load_with_consent
from mlx_spec.cli.terminal.progress import StageProgress
from mlx_spec.errors import ConfigError

_OPTIONS = {"prompts": "schemas", "repeats": "seeds", "temperatures": "temperatures", "answer_tokens": "answer_tokens"}


def constrained_scope(chosen: Mapping[str, Any]) -> ConstrainedScope:
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


def measured_constrained(
    models: ModelChoice, scope: ConstrainedScope, out: Path | None, save: Callable[[ConstrainedReport], None]
) -> ConstrainedReport:
    """A new report, kept by `save` after each turn in `out`, if anywhere. Raises LookaheadError."""
    report = ConstrainedReport(machine_facts(), models.name, models.draft, scope)
    save(report)  # a file that cannot be written is told before anything is measured
    with StageProgress(lines=True) as progress, told_where_kept(out):
        pair = load_with_consent(models.name, models.draft, progress, anyway=models.anyway)
        measure_constrained(report, pair, tell=progress.tell, save=save)
    return report


def constrained_lines(report: ConstrainedReport) -> list[str]:
    """A few lines a temperature, for a person."""
    scope = report.scope
    lines = [
        machine_line(report.machine),
        f"answers by {scope.schemas} schemas, {scope.seeds} seeds each, in turns:",
        *(() if report.complete else (f"(stopped early: {len(report.runs)} answers)",)),
        *(() if report.judged else ("(jsonschema is not installed: no answer was judged)",)),
    ]
    for row in report.rows():
        speeds = ", ".join(f"{name} {row.tokens_per_second[name]:.1f}" for name in (DRAFTED, PLAIN, BASELINE))
        lines += [
            f"  temperature {row.temperature:g}: {row.same} of {row.answers} with the ids of {PLAIN}; "
            f"{row.whole} whole and valid, {row.invalid} invalid, {row.cut} cut or not judged",
            f"    tokens a second: {speeds}",
            f"    {DRAFTED} / {PLAIN}: {_shown(row.over_plain)}",
            f"    {DRAFTED} / {BASELINE}: {_shown(row.over_mlx_lm)}",
            f"    {row.tokens_per_round:.2f} tokens a round, {row.acceptance:.0%} of the drafts accepted, "
            f"{row.host_ms_per_round:.1f} ms of the host's a round",
        ]
    return lines


def _shown(ratios: tuple[float, float, float, float]) -> str:
    median, least, greatest, together = ratios
    return f"{median:.2f}x, median of schemas ({least:.2f}–{greatest:.2f}); {together:.2f}x of all tokens and seconds"
