"""What the tables of both kinds of reports are made of."""

from collections.abc import Iterable
from typing import Any, Final

from rich.table import Table

from mlx_spec.bench.summary import Spread

NOTHING: Final = "–"
"""Where nothing was measured."""


def machine_line(facts: dict[str, Any]) -> str:
    """What was measured on, and when."""
    return f"{facts['device']}, {facts['cores']} cores, BLAS {facts['blas']}, mlx {facts['mlx']}, {facts['date']}"


def new_table(headings: Iterable[str], *, gap: int = 1) -> Table:
    """A table without lines: names on the left, numbers on the right."""
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    table.add_column("", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True, vertical="bottom")
    return table


def titled(title: str, table: Table) -> list[Any]:
    """A table below its title, with an empty line behind it."""
    return [f"[italic]{title}[/]", table, ""]


def with_range(found: Spread | None, digits: int = 2, factor: float = 1.0) -> str:
    """A median with the lowest and the highest, each times `factor`."""
    if found is None:
        return NOTHING
    median, least, greatest = (f"{factor * value:.{digits}f}" for value in (found.median, found.least, found.greatest))
    return f"{median} ({least}–{greatest})"


def number(value: float | None, digits: int = 2) -> str:
    """A number, or that there is none."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """A share, or that there is none."""
    return NOTHING if value is None else f"{value:.0%}"
