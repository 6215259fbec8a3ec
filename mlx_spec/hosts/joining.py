"""A follower's way into its group. Knows no model."""

from collections.abc import Callable, Sequence
from typing import Any

import psutil

from mlx_spec.errors import ServerError
from mlx_spec.hosts.addresses import free_ports
from mlx_spec.hosts.assignment import Assignment
from mlx_spec.hosts.channel.follower import FollowerChannel
from mlx_spec.hosts.channel.hello import Hello
from mlx_spec.hosts.channel.leader import HERE
from mlx_spec.hosts.versions import Versions, versions_here


def join(assignment: Assignment, versions: Versions | None = None, **options: Any) -> FollowerChannel:
    """The channel of a follower that has said hello. Raises RankLostError where there is no leader."""
    return FollowerChannel.connect(
        assignment.leader,
        assignment.secret,
        assignment.rank,
        _hello(assignment, versions or versions_here()),
        assignment.pulse,
        **options,
    )


def say_here(assignment: Assignment, channel: FollowerChannel) -> None:
    """Tell the leader that all is ready to enter the collectives, and where: at ports that are free now. Raises
    ServerError."""
    channel.say(HERE, ports=_ports(assignment.ips or (channel.address,), assignment.host))


def _hello(assignment: Assignment, versions: Versions) -> Callable[[str], Hello]:
    def made(address: str) -> Hello:
        memory = psutil.virtual_memory()
        ips = assignment.ips or (address,)
        _ports(ips, assignment.host)  # what is wrong with them is told before anybody waits
        return Hello(versions=versions, memory_bytes=memory.total, free_bytes=memory.available, address=ips[0])

    return made


def _ports(addresses: Sequence[str], host: str) -> list[int]:
    try:
        return free_ports(addresses)
    except OSError as error:
        names = " or ".join(addresses)
        raise ServerError(
            f"No port of {names} is to be had on {host} ({error.strerror or error}): correct the hostfile."
        ) from error
