"""`mlx-spec doctor`: what was found, as a table or as JSON."""

from typing import TYPE_CHECKING, Any, Final

from mlx_spec.cli.terminal.json_output import AsJson, write_json

if TYPE_CHECKING:
    from rich.console import Console

_STYLES: Final = {"ok": "green", "warning": "yellow", "error": "red bold"}


def doctor(as_json: AsJson = False) -> None:
    """Tell what this machine has and which paths the engine takes on it."""
    from rich.console import Console

    from mlx_spec.cli.commands.doctor.report import report  # with MLX, which `--help` does not wait for

    found = report()
    if as_json:
        write_json(found)
    else:
        show(found, Console(highlight=False))


def show(findings: dict[str, Any], console: "Console") -> None:
    """Print what `report` found as a table: section, what, why."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, section in findings.items():
        if isinstance(section, dict):
            label = f"[{_STYLES[section['status']]}]{section['status']}[/]"
            table.add_row(
                label,
                f"[bold]{name.replace('_', ' ')}[/]",
                f"{escape(section['what'])}\n[dim]{escape(section['why'])}[/]",
            )
    console.print(table)
