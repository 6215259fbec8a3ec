"""A paired report for a terminal of 100 columns or more."""

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from mlx_spec.bench.paired.modes import MODES
from mlx_spec.bench.paired.report import (
    Comparison,
    PairedReport,
    SideRow,
    comparisons,
    differences,
    sameness,
    side_rows,
    temperatures,
)
from mlx_spec.cli.commands.bench.cells import NOTHING, machine_line, new_table, number, percent, titled, with_range

_SHOWN_NUMBERS: Final = 9
_SIDES: Final = (
    "tokens/s\n(range)",
    "tokens\na round",
    "process, s\n(range)",
    "first text, ms\n(range)",
    "of turn 1's\n(range)",
    "prompt,\ntokens",
    "known",
    "used by\nothers",
    "stolen",
)


def paired_tables(report: PairedReport) -> Group:
    """All that a report says: its conditions, ratios by prompt and their medians, both sides, and what was said."""
    mode = MODES[report.mode]
    parts: list[Any] = [_title(report), *condition_lines(report.conditions), ""]
    found, sides = comparisons(report.runs, mode), side_rows(report.runs, mode)
    for temperature in temperatures(report.runs):
        here = [one for one in found if one.temperature == temperature]
        parts += titled(f"ratios, temperature {temperature:g}; over 1 is a gain", _ratios_table(here, report))
        rows = [row for row in sides if row.temperature == temperature]
        parts += titled(f"medians, temperature {temperature:g}", _sides_table(rows))
    what = "ids" if mode.promises else "text"
    for one in sameness(report.runs, mode):
        parts.append(f"the same {what} at temperature {one.temperature:g}: {one.same} of {one.blocks} answers")
    parts += [f"[yellow]note:[/] {escape(note)}" for note in report.notes]
    parts += [f"[bold red]warning:[/] {escape(sentence)}" for sentence in differences(report.runs, mode)]
    return Group(*parts)


def _title(report: PairedReport) -> str:
    machine = machine_line(report.machine)
    load = f"load average before {report.machine['load_1min']:g}"
    cases = len({run.block[1:3] for run in report.runs})
    turns = max((run.turn or 0 for run in report.runs), default=0)
    asked = f"{cases} chats of {turns} turns, answers" if turns else f"{cases} prompts"
    what = f"{asked} of up to {report.scope.answer_tokens} tokens, repeated {report.scope.repeats} times"
    unfinished = "" if report.complete else "[yellow], not finished[/]"
    pair = f"{report.target} with {report.draft}" if report.draft else report.target
    title = escape(MODES[report.mode].title)
    return f"[bold]{escape(pair)}[/]: {title}\n{what}{unfinished}\n{escape(machine)}, {load}"


def condition_lines(conditions: dict[str, Any]) -> list[str]:
    """A line for each condition: numbers rounded, long lists cut short, values with names as `name value`."""
    return [f"{escape(name)}: {escape(_words(value))}" for name, value in conditions.items() if value not in ([], {})]


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        shown = " ".join(_words(one) for one in value[:_SHOWN_NUMBERS])
        return f"{shown} … ({len(value)})" if len(value) > _SHOWN_NUMBERS else shown
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _ratios_table(here: Sequence[Comparison], report: PairedReport) -> Table:
    table = new_table([one.heading for one in here], gap=2)
    by_block = [dict(one.by_block) for one in here]
    blocks = list(dict.fromkeys(block for one in by_block for block in one))
    for block in blocks:
        _, kind, prompt, repeat = block
        name = f"{kind} {prompt + 1}" + (f", repeat {repeat + 1}" if report.scope.repeats > 1 else "")
        table.add_row(name, *(number(one.get(block)) for one in by_block))
    table.add_row("[bold]median[/]", *(f"[bold]{one.spread.median:.2f}[/]" for one in here))
    table.add_row("lowest to highest", *(f"{one.spread.least:.2f} to {one.spread.greatest:.2f}" for one in here))
    return table


def _sides_table(rows: Sequence[SideRow]) -> Table:
    # Of chats the wait is asked for: how fast short answers go on is kept, and not shown.
    columns = [
        [with_range(row.speed, 1) if row.turn is None else NOTHING for row in rows],
        [number(row.tokens_per_round) if row.turn is None else NOTHING for row in rows],
        [with_range(row.wall_seconds, 2) for row in rows],
        [with_range(row.first_text_seconds, 0, 1e3) for row in rows],
        [with_range(row.of_first_turn, 3) for row in rows],
        [number(row.prompt_tokens, 0) for row in rows],
        [number(row.cached_tokens, 0) for row in rows],
        [percent(row.others) for row in rows],
        [percent(row.stolen) for row in rows],
    ]
    told = [at for at, column in enumerate(columns) if set(column) != {NOTHING}]
    table = new_table([_SIDES[at] for at in told], gap=2)
    for at_row, row in enumerate(rows):
        name = row.side if row.turn is None else f"{row.side}, turn {row.turn}"
        table.add_row(name, *(columns[at][at_row] for at in told))
    return table
