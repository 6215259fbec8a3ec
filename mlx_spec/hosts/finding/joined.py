"""Machines that were joined, as a group's supervisor needs them: in the place of ssh."""

from mlx_spec.errors import ConfigError, LookaheadError
from mlx_spec.hosts.finding.acquaintances import Acquaintance, Acquaintances
from mlx_spec.hosts.finding.joining import reach
from mlx_spec.machine.program import own_command


def joined(name: str) -> Acquaintance | None:
    """The machine of that name, where it was joined; None for one that is left to ssh, also where two have the name."""
    try:
        return Acquaintances().named(name)
    except ConfigError:
        return None


def follower_command(one: Acquaintance) -> tuple[str, ...]:
    """What stands here for a follower there, as `ssh` would: with its input, its output and its end."""
    return tuple(own_command("hosts", "carry", one.fingerprint))


def why_not_reached(one: Acquaintance) -> str | None:
    """Why that machine does not work for this one now, as a part of a sentence; None where it does."""
    try:
        reach(one).close()
    except LookaheadError as error:
        return str(error).rstrip(".")
    return None
