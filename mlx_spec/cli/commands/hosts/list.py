"""`mlx-spec hosts list`: the machines that offer themselves now, and those that this one knows."""

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlx_spec.cli.terminal.json_output import write_json

if TYPE_CHECKING:
    from mlx_spec.hosts.finding.announcing import Lookout

_AGAIN_S = 5.0
"""What is known may be changed by another process."""
_Seconds = Annotated[float, typer.Option(help="Listen so long for machines that offer themselves.", min=0, max=60)]
_AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, with --watch one for each change.")]
_Watch = Annotated[bool, typer.Option("--watch", help="Go on, and tell every change, until Ctrl-C.")]


def list_machines(seconds: _Seconds = 2.0, watch: _Watch = False, as_json: _AsJson = False) -> None:
    """List the machines on this network that offer themselves, and those that were joined."""
    from mlx_spec.hosts.finding.announcing import Lookout

    changed = threading.Event()
    # That it ends when asked to is no failure.
    with contextlib.suppress(KeyboardInterrupt), Lookout(changed.set) as lookout:
        time.sleep(seconds)
        told = machines(lookout)
        _tell(told, as_json=as_json)
        while watch:
            changed.wait(_AGAIN_S)
            changed.clear()
            if (now := machines(lookout)) != told:
                told = now
                _tell(told, as_json=as_json)


def machines(lookout: "Lookout") -> dict[str, Any]:
    """This machine, those found now but for itself, and those known."""
    from mlx_spec.hosts.finding.acquaintances import Acquaintances
    from mlx_spec.hosts.finding.identity import fingerprint, own_identity

    own = own_identity()
    own_print = fingerprint(own.key)
    known = [
        {
            "name": one.name,
            "fingerprint": one.fingerprint,
            "role": one.role,
            "address": one.address,
            "since_s": one.since_s,
        }
        for one in Acquaintances().all()
    ]
    found = [one.to_dict() for one in lookout.hosts if one.fingerprint != own_print]
    return {"name": own.name, "fingerprint": own_print, "found": found, "known": known}


def _tell(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        write_json(told)
        sys.stdout.flush()
        return
    from mlx_spec.cli.commands.hosts.tables import print_machines

    if not told["found"] and not told["known"]:
        typer.echo(
            "No machine offers itself on this network: run `mlx-spec hosts offer` on another one, or give names that"
            " ssh knows to `mlx-spec serve --hosts`.",
            err=True,
        )
        return
    print_machines(told)
