"""`mlx-spec hosts join`: use another machine, where somebody offers it."""

import sys
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from mlx_spec.cli.commands.hosts.screens import JsonScreen, Lines, is_confirmed, is_yes, spaced
from mlx_spec.cli.terminal.json_output import AsJsonLines
from mlx_spec.errors import ConfigError

if TYPE_CHECKING:
    from mlx_spec.hosts.finding.joining import Place

_Machine = Annotated[str, typer.Argument(help="Its name, as `hosts list` shows it, or ADDRESS or ADDRESS:PORT.")]
_Seconds = Annotated[float, typer.Option(help="Look so long for a machine of that name.", min=0, max=60)]


def join(machine: _Machine, seconds: _Seconds = 5.0, as_json: AsJsonLines = False) -> None:
    """Ask a machine that offers itself to work for this one; both show a code that you compare.

    With `--json` events come as lines, and `{"confirmed": true}` or false is read for the code that is told.
    """
    from mlx_spec.hosts.finding.joining import join as join_there

    place = find_place(machine, seconds)
    lines = Lines()
    screen = JsonScreen(lines)

    def is_same_code(name: str, code: str) -> bool:
        lines.drop()  # what was typed before the code showed confirms nothing
        if as_json:
            screen.write({"event": "code", "name": name, "code": code})
            return is_confirmed(lines.next(threading.Event()))
        typer.echo(
            f"The code is {spaced(code)}. {name} shows one too: type y if it is the same, or type that one: ", nl=False
        )
        sys.stdout.flush()
        return is_yes(lines.next(threading.Event()), code)

    one = join_there(place, is_same_code)
    if as_json:
        screen.write({"event": "joined", "name": one.name, "fingerprint": one.fingerprint, "address": one.address})
    else:
        typer.echo(f"{one.name} may be used from now on: `mlx-spec hosts check`, `mlx-spec serve --hosts`.")


def find_place(machine: str, seconds: float) -> "Place":
    """Where the machine of that name may be asked. Raises ConfigError where several have it; where none offers itself
    by that name it is taken for an address."""
    from mlx_spec.hosts.finding.announcing import Lookout
    from mlx_spec.hosts.finding.joining import PORT, Place

    host, port = split_port(machine)
    if port is not None:
        return Place(host, host, port)
    wanted = host.casefold().removesuffix(".local")
    with Lookout() as lookout:
        found = lookout.wait_for(lambda one: wanted in (one.name.casefold(), one.fingerprint), seconds)
        same = [
            one for one in lookout.hosts if found is not None and one.name == found.name and wanted != one.fingerprint
        ]
    if len(same) > 1:
        prints = " or ".join(one.fingerprint for one in same)
        raise ConfigError("machine", machine, f"one machine, and {len(same)} have that name (say {prints})")
    return Place(found.name, found.addresses[0], found.port) if found is not None else Place(host, host, PORT)


def split_port(written: str) -> tuple[str, int | None]:
    """`HOST:PORT`, `[V6]:PORT`, or a host alone. Raises ConfigError for a port that is none."""
    host, colon, port = written.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):  # no port, or an IPv6 address
        return written.strip("[]"), None
    if not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError("port", port, "a number from 1 to 65535")
    return host.strip("[]"), int(port)
