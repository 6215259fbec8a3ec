"""`mlx-spec hosts carry`: what stands in the place of ssh for a machine that was joined."""

import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mlx_spec.errors import ConfigError

if TYPE_CHECKING:
    from mlx_spec.hosts.finding.acquaintances import Acquaintance, Acquaintances
    from mlx_spec.hosts.finding.following import JoinedFollower

_GONE: Final = 255
_LOOK_S: Final = 0.2
_Environment = Annotated[
    bool, typer.Option("--environment", help="The input begins with NAME=VALUE lines, up to an empty one.")
]


def carry(
    machine: Annotated[str, typer.Argument(help="The name or fingerprint of a machine that was joined.")],
    options: Annotated[list[str] | None, typer.Argument(help="Options of the follower, behind --.")] = None,
    environment: _Environment = False,
) -> None:
    """Run a follower there, as if it were this process: its input, its output, its exit code. It ends with this, and
    when its machine is forgotten."""
    from mlx_spec.hosts.finding.acquaintances import Acquaintances
    from mlx_spec.hosts.finding.following import JoinedFollower
    from mlx_spec.hosts.finding.joining import call

    known = Acquaintances()
    one = known.named(machine)
    if one is None:
        raise ConfigError("machine", machine, "one that was joined (`mlx-spec hosts join`)")
    variables = _variables() if environment else {}
    follower = JoinedFollower(call(one, known=known), options or (), variables)
    forgotten = threading.Event()
    watched = (follower, one, known, forgotten)
    try:
        threading.Thread(target=_hand_on, args=(follower,), name="input", daemon=True).start()
        threading.Thread(target=_end_when_forgotten, args=watched, name="known", daemon=True).start()
        for line in follower.lines():
            typer.echo(line)
            sys.stdout.flush()
        code = follower.wait()
    finally:
        follower.close()
    if forgotten.is_set():
        typer.echo(f"{one.name} was forgotten here, and works for this machine no longer.", err=True)
    elif code in (None, -1):
        typer.echo(f"{one.name} hung up: look whether it still offers itself, and knows this machine.", err=True)
    if code is None or code < 0:
        # As a shell tells of a signal; and as ssh does where the machine is gone.
        code = _GONE if code in (None, -1) else 128 - code
    raise typer.Exit(code)


def _variables() -> dict[str, str]:
    """What the input begins with: on a command line everybody on this machine could read it."""
    lines = iter(sys.stdin.readline, "")
    read = (line.rstrip("\n") for line in lines)
    return dict(line.partition("=")[::2] for line in iter(lambda: next(read, ""), ""))


def _end_when_forgotten(
    follower: "JoinedFollower", one: "Acquaintance", known: "Acquaintances", forgotten: threading.Event
) -> None:
    from mlx_spec.errors import StorageError

    while not forgotten.is_set() and follower.wait(_LOOK_S) is None:
        try:
            is_known = known.of(bytes.fromhex(one.key), "follower") is not None
        except StorageError:  # nobody can say any more that it is
            is_known = False
        if not is_known:
            forgotten.set()
            follower.close()


def _hand_on(follower: "JoinedFollower") -> None:
    """What is said here goes there, and the end of it is the follower's."""
    from mlx_spec.errors import LookaheadError

    with contextlib.suppress(LookaheadError):
        for line in sys.stdin:
            follower.write(line)
    follower.stop()
