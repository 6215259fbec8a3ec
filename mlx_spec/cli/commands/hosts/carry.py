"""`mlx-spec hosts carry`: what stands in the place of ssh for a machine that was joined."""

import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from mlx_spec.errors import ConfigError

if TYPE_CHECKING:
    from mlx_spec.hosts.finding.following import JoinedFollower

_GONE = 255


def carry(
    machine: Annotated[str, typer.Argument(help="The name or fingerprint of a machine that was joined.")],
    options: Annotated[list[str] | None, typer.Argument(help="Options of the follower, behind --.")] = None,
) -> None:
    """Run a follower there, as if it were this process: its input, its output, its exit code. It ends with this."""
    from mlx_spec.hosts.finding.acquaintances import Acquaintances
    from mlx_spec.hosts.finding.following import JoinedFollower
    from mlx_spec.hosts.finding.joining import reach

    known = Acquaintances()
    one = known.named(machine)
    if one is None:
        raise ConfigError("machine", machine, "one that was joined (`mlx-spec hosts join`)")
    follower = JoinedFollower(reach(one, known=known), options or ())
    try:
        threading.Thread(target=_hand_on, args=(follower,), name="input", daemon=True).start()
        for line in follower.lines():
            typer.echo(line)
            sys.stdout.flush()
        code = follower.wait()
    finally:
        follower.close()
    if code is None or code < 0:
        # As a shell tells of a signal; and as ssh does where the machine is gone.
        code = _GONE if code in (None, -1) else 128 - code
    raise typer.Exit(code)


def _hand_on(follower: "JoinedFollower") -> None:
    """What is said here goes there, and the end of it is the follower's."""
    from mlx_spec.errors import LookaheadError

    with contextlib.suppress(LookaheadError):
        for line in sys.stdin:
            follower.write(line)
    follower.stop()
