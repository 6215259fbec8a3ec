"""`mlx-spec doctor`: what was found, as a table or as JSON."""

from typing import TYPE_CHECKING, Any, Final

import typer

from mlx_spec.cli.terminal.json_output import AsJson, write_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_STYLES: Final = {"ok": "green", "warning": "yellow", "error": "red bold"}


def doctor(as_json: AsJson = False) -> None:
    """Tell what this machine has and which paths the engine takes on it. Exit code 1 where something is not usable."""
    from rich.console import Console

    from mlx_spec.cli.commands.doctor.report import report  # with MLX, which `--help` does not wait for

    found = report()
    if as_json:
        write_json(found)
    else:
        show(found, Console(highlight=False))
    if not found["ok"]:
        raise typer.Exit(1)


def show(findings: dict[str, Any], console: "Console") -> None:
    """Print what `report` found as a table: section, what, why."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    told: set[str] = set()
    for name, section in findings.items():
        if isinstance(section, dict):
            # One folder that cannot be written to is the reason of several sections.
            why = "For the same reason." if section["why"] in told else section["why"]
            told.add(section["why"])
            label = f"[{_STYLES[section['status']]}]{section['status']}[/]"
            table.add_row(
                label,
                f"[bold]{name.replace('_', ' ')}[/]",
                f"{escape(section['what'])}\n[dim]{escape(why)}[/]",
            )
    console.print(table)
    for model in findings["row_widths"].get("models", ()) if "row_widths" in findings else ():
        console.print(_widths_table(model))
        console.print(model["limit"], markup=False, highlight=False)


def _widths_table(model: dict[str, Any]) -> "Table":
    """How wide each part of a model's passes may be."""
    from rich.markup import escape
    from rich.table import Table

    title = f"rows a pass of {escape(model['target'])} may have, each with the bits that it has alone"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), show_header=False)
    for part, width in model["parts"]:
        table.add_row(escape(part), _rows(width, model["tried"]))
    table.add_row("[bold]the whole pass[/]", f"[bold]{_rows(model['width'], model['tried'])}[/]")
    if model["width"] > 1:
        table.add_row("trees in it", "yes" if model["trees"] else "no")
    return table


def _rows(width: int, tried: int) -> str:
    if width == tried:
        return f"{width}, as many as were tried"
    return f"{width}" if width > 1 else "1: a second row changes its bits"
