"""Machines that were joined, as a group's supervisor needs them: in the place of ssh."""

from collections.abc import Sequence

from mlx_spec.errors import ConfigError, LookaheadError, ServerError
from mlx_spec.hosts.finding.acquaintances import Acquaintance, Acquaintances
from mlx_spec.hosts.finding.joining import SEEK_S, call
from mlx_spec.hosts.finding.working import FOLLOWER_VARIABLES
from mlx_spec.machine.program import own_command


def joined(name: str) -> Acquaintance | None:
    """The machine of that name, where it was joined; None for one that is left to ssh, also where two have the name."""
    try:
        return Acquaintances().named(name)
    except ConfigError:
        return None


def follower_command(one: Acquaintance, *, reads_environment: bool = False) -> tuple[str, ...]:
    """What stands here for a follower there, as `ssh` would: with its input, its output and its end. Where it
    `reads_environment`, its input begins with that."""
    return tuple(own_command("hosts", "carry", *(("--environment",) if reads_environment else ()), one.fingerprint))


def check_given(one: Acquaintance, python: str | None, envs: Sequence[str]) -> None:
    """Raise ServerError where a group gives that machine what it takes from nobody: another interpreter, or a variable
    that is not MLX's."""
    if python is not None:
        raise ServerError(
            f"{one.name} was joined, and starts its own Lookahead, not {python}: leave --python out, or write the"
            " interpreters of the other machines into a hostfile, each as `python`."
        )
    if foreign := [name for line in envs if not (name := line.partition("=")[0]).startswith(FOLLOWER_VARIABLES)]:
        raise ServerError(
            f"{one.name} was joined, and lets nobody set {foreign[0]} there, only MLX's own variables (MLX_…): leave it"
            " out, and set it there before `mlx-spec hosts offer`."
        )


def why_not_reached(one: Acquaintance, seek_s: float = SEEK_S) -> str | None:
    """Why that machine does not work for this one now, as a part of a sentence; None where it does."""
    try:
        call(one, seek_s=seek_s).close()
    except LookaheadError as error:
        return str(error).rstrip(".")
    return None
