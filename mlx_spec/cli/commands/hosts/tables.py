"""The terminal's view of machines: who is there, and what a look at them has found."""

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlx_spec.hosts.finding.report import GroupReport
from mlx_spec.models.staging import human_bytes

_ROLES: Final = {
    "follower": "joined: this machine may use it",
    "leader": "it may use this machine",
    "refused": "it may not ask again",
}


def print_machines(told: dict[str, Any]) -> None:
    """Those that offer themselves now, and those that are known."""
    table = _plain_table("machine", "")
    here = {one["fingerprint"]: one for one in told["found"]}
    known = {one["fingerprint"]: one for one in told["known"]}
    for one in told["found"]:
        role = known.get(one["fingerprint"], {}).get("role")
        memory = human_bytes(one["total_bytes"]) if one["total_bytes"] else ""
        state = "offers itself" + (f"; {_ROLES[role]}" if role else "")
        address = f"{one['addresses'][0]}:{one['port']}"
        table.add_row(Text(one["name"]), _lines([state], [one["chip"], memory], [address, one["fingerprint"]]))
    for one in told["known"]:
        if one["fingerprint"] not in here:
            state = _ROLES[one["role"]] + ("; does not offer itself now" if one["role"] == "follower" else "")
            table.add_row(Text(one["name"]), _lines([state], [one["address"], one["fingerprint"]], style="dim"))
    Console(highlight=False).print(table)


def print_report(report: GroupReport, fits: Sequence[str]) -> None:
    """Machines, ways, what fits, and at last what is to be done."""
    console = Console(highlight=False)
    table = _plain_table("rank", "machine", "")
    for one in report.hosts:
        if (facts := one.facts) is None:
            table.add_row(str(one.rank), Text(one.name), Text("did not answer", "red"))
            continue
        memory = f"{human_bytes(facts.available_bytes)} free of {human_bytes(facts.total_bytes)}"
        versions = [f"{title} {version}" for title, version in facts.versions.titled.items()]
        details = _lines([facts.chip, memory], [*versions, f"Python {facts.python}"])
        table.add_row(str(one.rank), Text(one.name), details)
    console.print(table)
    if report.links:
        console.print()
        console.print(_ways(report))
    if fits:
        console.print()
    for line in fits:
        console.print(line, markup=False, soft_wrap=True)
    if report.backend != "ring":
        console.print(f"{report.backend} itself was not measured: these are the ways over TCP beside it.")
    for sentence in report.problems:
        console.print(Text(sentence, "red"), soft_wrap=True)


def _ways(report: GroupReport) -> Table:
    table = _plain_table("from", "to", "round trip", "bandwidth")
    for link in report.links:
        # A group on one machine has one name many times.
        names = [Text(f"{report.hosts[rank].name} (rank {rank})") for rank in (link.here, link.there)]
        if link.way is None:
            table.add_row(*names, Text("not reached", "red"), "")
        else:
            table.add_row(*names, f"{link.way.round_trip_ms:.2f} ms", f"{human_bytes(int(link.way.bytes_per_s))}/s")
    return table


def _plain_table(*columns: str) -> Table:
    """What is read at 80 columns, too: what is long stands in the last column, in lines of its own."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=bool(columns[-1]))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _lines(*lines: Sequence[str], style: str = "") -> Text:
    """What is known, line by line."""
    return Text("\n".join(" · ".join(filter(None, line)) for line in lines if any(line)), style)
