"""The terminal's view of models and downloads: tables on stdout, progress on stderr."""

import sys
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from mlx_spec.models.library.fetching.status import OVER, DownloadStatus
from mlx_spec.models.staging import human_bytes

if TYPE_CHECKING:  # some of these bring MLX, which a list of models need not wait for
    from mlx_spec.models.library.cache import InstalledModel
    from mlx_spec.models.library.fetching.downloads import Downloads
    from mlx_spec.models.library.judge import Judgement
    from mlx_spec.models.library.search import Findings

_DRAW_S: Final = 0.1
_ROOM_STYLES: Final = {"fits": "green", "tight": "yellow", "no": "red", "unknown": "dim"}


def _plain_table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def print_installed(models: "Iterable[InstalledModel]", total: int) -> None:
    """What is here."""
    table = _plain_table("model", "size", "last used", "")
    for model in models:
        used = datetime.fromtimestamp(model.last_used_s).strftime("%Y-%m-%d")
        problem = Text(model.problem or "", "yellow")
        table.add_row(model.name, human_bytes(model.size_bytes), used, problem)
    table.caption = f"{human_bytes(total)} in all"
    table.caption_justify = "left"
    Console(highlight=False).print(table)


def print_findings(found: "Findings") -> None:
    """Pairs, installed and available models, each under its heading."""
    console = Console(highlight=False)
    if found.pairs:
        console.print(Text("Known pairs", "bold"))
        table = _plain_table("pair", "target, draft")
        for pair in found.pairs:
            table.add_row(pair.name, f"{pair.target}\n{pair.draft}")
        console.print(table)
    if found.installed:
        console.print(Text("Installed", "bold"))
        for model in found.installed:
            console.print(f"{model.name}  {human_bytes(model.size_bytes)}", markup=False, soft_wrap=True)
    if found.available:
        console.print(Text("On the Hub", "bold"))
        table = _plain_table("model", "fetched", "")
        for group in found.available:
            table.add_row(Text(group.base, "bold"))
            for one in group.models:
                notes = [note for note, holds in (("installed", one.installed), ("gated", one.gated)) if holds]
                table.add_row(f"  {one.repo_id}", f"{one.downloads:,}×", ", ".join(notes))
        console.print(table)
    if found.offline:
        sys.stderr.write(f"{found.offline} Only what is known without it is shown.\n")
    elif not (found.pairs or found.installed or found.available):
        hint = f"; is it {' or '.join(found.near)}?" if found.near else "; try fewer words."
        sys.stderr.write(f"Nothing was found{hint}\n")


def print_judgement(judged: "Judgement") -> None:
    """What a model would take here."""
    console = Console(highlight=False)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))

    def row(name: str, value: str) -> None:
        table.add_row(Text(name, "dim"), value)

    row("model", judged.repo_id)
    row("to fetch", f"{human_bytes(judged.fetch_bytes)} of {human_bytes(judged.total_bytes)}")
    row("licence", judged.licence or "not told")
    if judged.gated:
        row("gated", f"accept the terms on {judged.page}")
    row("type", judged.model_type or "not told")
    if judged.longest_context_tokens:
        row("context", f"{judged.longest_context_tokens:,} tokens")
    if judged.memory is not None:
        parts = judged.memory
        row("weights", human_bytes(parts.weights_bytes))
        row(f"at {judged.context_tokens:,} tokens", f"{human_bytes(parts.cache_bytes)} more")
        row("while working", f"{human_bytes(parts.working_bytes)} more")
    console.print(table)
    console.print(Text(judged.reason, _ROOM_STYLES[judged.room]), soft_wrap=True)


def follow_downloads(downloads: "Downloads", repo_ids: Iterable[str]) -> None:
    """Show progress bars on stderr until every one of `repo_ids` is over."""
    wanted = list(repo_ids)
    console = Console(stderr=True)
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[told]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks = {repo_id: progress.add_task(repo_id.partition("/")[2], total=None, told="") for repo_id in wanted}
        while True:
            statuses = [downloads.status(repo_id) for repo_id in wanted]
            for status in statuses:
                task = tasks[status.repo_id]
                progress.update(task, total=status.total_bytes, completed=status.done_bytes, told=told(status))
            if all(status.state in OVER for status in statuses):
                return
            downloads.wait_for_all(wanted, _DRAW_S)


def told(status: DownloadStatus) -> str:
    """One download in some words: "1.2 GB of 4.3 GB, 38.1 MB/s, 1:21 left"."""
    if status.state == "waiting" and status.message:
        wait = f", again in {status.retry_in_s:.0f} s" if status.retry_in_s is not None else ""
        return f"{status.message.rstrip('.')}{wait}"
    if status.total_bytes is None:
        return status.state
    words = [f"{human_bytes(status.done_bytes)} of {human_bytes(status.total_bytes)}"]
    if status.speed_bytes_s:
        words.append(f"{human_bytes(int(status.speed_bytes_s))}/s")
    if status.left_s is not None:
        minutes, seconds = divmod(round(status.left_s), 60)
        words.append(f"{minutes}:{seconds:02} left")
    if status.state != "downloading":
        words.append(status.state)
    return ", ".join(words)
