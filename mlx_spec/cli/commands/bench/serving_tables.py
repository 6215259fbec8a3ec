"""A report of servers for a terminal of 100 columns or more."""

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from mlx_spec.bench.paired.serving.figures import (
    ArrivalFigures,
    Figures,
    Ratios,
    Times,
    Words,
    arrival_figures,
    figures_of,
)
from mlx_spec.bench.paired.serving.loads import LoadFigures, Percentiles, load_figures
from mlx_spec.bench.paired.serving.plan import OURS, THEIRS
from mlx_spec.bench.paired.serving.report import ServeReport
from mlx_spec.bench.summary import Spread
from mlx_spec.cli.commands.bench.cells import NOTHING, machine_line, new_table, number, percent, titled, with_range
from mlx_spec.cli.commands.bench.paired_tables import condition_lines

_FIGURES: Final = (
    "tokens/s in all\n(range)",
    "first text, s\nmedian / p95",
    "a token, ms\nmedian / p95",
    "a gap, ms\nmedian / p95",
    "words\nas alone",
    "used by\nothers",
    "stolen",
)
_RATIOS: Final = ("tokens/s in all\n(over 1: a gain)", "first text\n(under 1: a gain)", "a token\n(under 1: a gain)")
_ARRIVALS: Final = (
    "writing\nthen",
    "usual gap\nms",
    "longest gap\nms",
    "longest /\nusual (range)",
    "prompt,\ntokens",
    "its first\ntext, s",
    "words\nas alone",
)
_LOADS: Final = (
    "asked /\nrefused",
    "tokens/s in all\n(range)",
    "first text, s\np50 / p95 / p99",
    "a gap, ms\np50 / p95 / p99",
    "words\nas alone",
    "used by\nothers",
)
_S: Final = 1.0
_MS: Final = 1e3


def serving_tables(report: ServeReport) -> Group:
    """All that a report says: its conditions, each side by how many were asked at once, ratios, the long prompt."""
    parts: list[Any] = [_title(report), *condition_lines(report.conditions), ""]
    if report.plan.rates:
        parts += titled("by requests a second, which come when they like", _loads_table(load_figures(report.loads)))
    if report.plan.at_once:
        parts += titled("by how many are asked at once", _figures_table(figures_of(report.runs)))
        parts += titled("ratios of the same turns: median (range)", _ratios_table(report.ratios()))
    if report.arrivals:
        parts += titled(
            "a long prompt among four writers",
            _arrivals_table(arrival_figures(report.arrivals), report.arrival_ratio()),
        )
    parts += [f"[yellow]note:[/] {escape(note)}" for note in report.notes]
    parts += [f"[bold red]failed:[/] {escape(sentence)}" for sentence in report.failures()]
    parts += [f"[bold red]warning:[/] {escape(sentence)}" for sentence in report.differences()]
    return Group(*parts)


def _title(report: ServeReport) -> str:
    plan = report.plan
    pair = f"{report.target} with {report.draft}" if report.draft else report.target
    end = ", past the model's end" if plan.past_end else ""
    what = f"answers of up to {plan.answer_tokens} tokens{end} at temperature 0, {plan.repeats} turns"
    unfinished = "" if report.complete else "[yellow], not finished[/]"
    load = f"load average before {report.machine['load_1min']:g}"
    title = "servers that are asked several things at once"
    return f"[bold]{escape(pair)}[/]: {title}\n{what}{unfinished}\n{escape(machine_line(report.machine))}, {load}"


def _figures_table(rows: Sequence[Figures]) -> Table:
    table = new_table(_FIGURES)
    for row in rows:
        table.add_row(
            f"{row.at_once}, {row.side}",
            with_range(row.rate, 1),
            _times(row.first_text, _S, 2),
            _times(row.token, _MS, 0),
            _times(row.gap, _MS, 0),
            _words(row.words),
            percent(row.others),
            percent(row.stolen),
        )
    return table


def _loads_table(rows: Sequence[LoadFigures]) -> Table:
    table = new_table(_LOADS)
    for row in rows:
        table.add_row(
            f"{row.rate:g}, {row.side}",
            f"{row.asked} / {row.refused}",
            with_range(row.done, 1),
            _percentiles(row.first_text, _S, 2),
            _percentiles(row.gap, _MS, 0),
            _words(row.words),
            percent(row.others),
        )
    return table


def _ratios_table(rows: Sequence[Ratios]) -> Table:
    table = new_table(_RATIOS, gap=2)
    for row in rows:
        cells = (with_range(one) for one in (row.rate, row.first_text, row.token))
        table.add_row(f"{row.at_once}, {row.side} / {row.reference}", *cells)
    return table


def _arrivals_table(rows: Sequence[ArrivalFigures], ratio: Spread | None) -> Table:
    table = new_table(_ARRIVALS, gap=2)
    for row in rows:
        table.add_row(
            row.side,
            with_range(row.writing, 0),
            _median(row.usual, _MS, 0),
            _median(row.longest, _MS, 0),
            with_range(row.multiple, 1),
            number(row.prompt_tokens, 0),
            _median(row.first_text, _S, 2),
            _words(row.words),
        )
    if ratio is not None:
        table.add_row(f"{OURS} / {THEIRS}", "", "", "", with_range(ratio))
    return table


def _times(found: Times | None, factor: float, digits: int) -> str:
    if found is None:
        return NOTHING
    return f"{factor * found.median:.{digits}f} / {factor * found.p95:.{digits}f}"


def _percentiles(found: Percentiles | None, factor: float, digits: int) -> str:
    if found is None:
        return NOTHING
    return " / ".join(f"{factor * value:.{digits}f}" for value in (found.p50, found.p95, found.p99))


def _median(found: Spread | None, factor: float, digits: int) -> str:
    return NOTHING if found is None else f"{factor * found.median:.{digits}f}"


def _words(found: Words | None) -> str:
    return NOTHING if found is None else f"{found.same} of {found.compared}"
