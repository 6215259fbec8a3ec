"""A report for a terminal of 100 columns or more."""

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from mlx_spec.bench.host import host_summary
from mlx_spec.bench.plan import BenchPlan
from mlx_spec.bench.prompts import KINDS
from mlx_spec.bench.report import Report
from mlx_spec.bench.summary import ALL_KINDS, Row, RuleCost, Spread, SweepLine, differences, rule_costs, sweep
from mlx_spec.cli.commands.bench.cells import machine_line, new_table, number, percent, titled, with_range
from mlx_spec.cli.commands.bench.verifying import verifying_lines

_HOST_TITLE: Final = "a round of a 24-layer target and a 4-layer draft, 64 wide, in ms; the passes by themselves"
_HEADINGS: Final = (
    "tokens\n/s",
    "x plain (range)",
    "x spec.",
    "tokens\na round",
    "accep-\ntance",
    "draft",
    "verify",
    "host",
    "memory",
    "effi-\nciency",
)


def tables(report: Report) -> Group:
    """All that a report says: one table a temperature, kinds side by side, rules, the sweep, the host, warnings."""
    parts: list[Any] = [_title(report)]
    if report.pair is not None and report.plan is not None and report.runs:
        found = report.rows()
        for temperature in dict.fromkeys(row.temperature for row in found):
            here = [row for row in found if row.temperature == temperature]
            parts += titled(f"temperature {temperature:g}, all kinds", _main_table(here, report.plan))
            parts += titled(f"x plain by kind, temperature {temperature:g}", _kinds_table(here, report.plan))
        parts += _rules_part(rule_costs(report.runs))
        parts += _sweep_part(sweep(report.runs))
        parts.append(_legend())
    parts += _host_part(report)
    parts += [*verifying_lines(report.verifying), ""] if report.verifying else []
    parts += [f"[yellow]left out:[/] {escape(note)}" for note in report.notes]
    parts += [f"[bold red]warning:[/] {escape(sentence)}" for sentence in differences(report.runs)]
    return Group(*parts)


def _title(report: Report) -> str:
    machine = machine_line(report.machine)
    if report.pair is None or report.plan is None:
        return escape(machine)
    plan = report.plan
    cases = len({run.block[1:3] for run in report.runs})
    what = f"{cases} prompts of up to {plan.answer_tokens} tokens, repeated {plan.repeats} times"
    unfinished = "" if report.complete else "[yellow], not finished[/]"
    pair = f"[bold]{escape(report.pair.target)} with {escape(report.pair.draft or 'no draft')}[/]"
    return f"{pair} · {what}{unfinished}\n{escape(machine)}\n"


def _main_table(found: Sequence[Row], plan: BenchPlan) -> Table:
    table = new_table(_HEADINGS)
    for row in _ordered(found, plan):
        if row.kind == ALL_KINDS:
            table.add_row(
                plan.title(row.contender),
                f"{row.tokens_per_second:.2f}",
                with_range(row.ratio),
                number(_median(row.speculation_ratio)),
                f"{row.tokens_per_round:.2f}",
                *(percent(v) for v in (row.acceptance, row.draft_share, row.verify_share, row.host_share)),
                number(row.memory, 3),
                number(row.efficiency),
            )
    return table


def _kinds_table(found: Sequence[Row], plan: BenchPlan) -> Table:
    kinds = [kind for kind in KINDS if any(row.kind == kind for row in found)]
    ratios = {(row.contender, row.kind): row.ratio for row in found}
    table = new_table(kinds)
    for row in _ordered(found, plan):
        if row.kind == ALL_KINDS:
            here = [ratios.get((row.contender, kind)) for kind in kinds]
            table.add_row(plan.title(row.contender), *(number(_median(ratio)) for ratio in here))
    return table


def _ordered(found: Sequence[Row], plan: BenchPlan) -> list[Row]:
    """In the plan's order: runs come in turns."""
    return sorted(found, key=lambda row: plan.contenders.index(row.contender))


def _rules_part(costs: Sequence[RuleCost]) -> list[Any]:
    if not costs:
        return []
    headings = ("temperature", "acceptance", "tokens a round", "tokens/s of coupled to its (range)")
    table = new_table(headings)
    for cost in costs:
        table.add_row(
            f"coupled against {cost.rule}",
            f"{cost.temperature:g}",
            f"{cost.coupled_acceptance:.1%} / {cost.rule_acceptance:.1%}",
            f"{cost.coupled_tokens_per_round:.2f} / {cost.rule_tokens_per_round:.2f}",
            with_range(cost.speed),
        )
    return titled("what coupled, the rule that keeps the words, costs", table)


def _sweep_part(lines: Sequence[SweepLine]) -> list[Any]:
    if not lines:
        return []
    lengths = sorted({length for line in lines for length, _ in line.ratios})
    headings = ("temp.", *map(str, lengths), "chosen", "best", "chosen / best (range)")
    table = new_table(headings)
    for line in lines:
        ratios = dict(line.ratios)
        table.add_row(
            f"{line.kind}, {line.auto}",
            f"{line.temperature:g}",
            *(number(ratios.get(length)) for length in lengths),
            f"{line.auto_ratio:.2f}",
            str(line.best_length),
            with_range(line.of_best),
        )
    return titled("x plain by fixed length of the draft model, and by the lengths that were chosen", table)


def _host_part(report: Report) -> list[Any]:
    found = host_summary(report.host)
    if not found:
        return []
    headings = (
        "ours",
        "its host",
        "its passes",
        "mlx-lm spec.",
        "its host",
        "its passes",
        "host / host (range)",
        "round / round",
    )
    table = new_table(headings)
    for row in found:
        times = (
            row.ours_ms,
            row.ours_host_ms,
            row.ours_passes_ms,
            row.mlx_lm_ms,
            row.mlx_lm_host_ms,
            row.mlx_lm_passes_ms,
        )
        ratio = with_range(Spread(row.ratio, row.ratio_least, row.ratio_greatest, 1))
        table.add_row(
            f"temperature {row.temperature:g}", *(f"{value:.2f}" for value in times), ratio, f"{row.round_ratio:.2f}"
        )
    return titled(_HOST_TITLE, table)


def _legend() -> str:
    return (
        "[dim]x plain, x spec.: tokens/s against mlx-lm plain and mlx-lm speculation, median of pairs · draft, verify: "
        "shares of the time as the decoder tells them · host: time less the model passes by themselves · memory: peak "
        "over weights + caches · efficiency: time if a verify cost one plain step and a draft pass its weights' read, "
        "over the time it took[/]\n"
    )


def _median(found: Spread | None) -> float | None:
    return found.median if found is not None else None
