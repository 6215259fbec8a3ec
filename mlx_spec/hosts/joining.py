"""A follower's way into its group. Knows no model."""

from collections.abc import Callable
from typing import Any

import psutil

from mlx_spec.errors import ServerError
from mlx_spec.hosts.addresses import free_port
from mlx_spec.hosts.assignment import Assignment
from mlx_spec.hosts.channel.follower import FollowerChannel
from mlx_spec.hosts.channel.hello import Hello
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


def _hello(assignment: Assignment, versions: Versions) -> Callable[[str], Hello]:
    def made(address: str) -> Hello:
        here, memory = assignment.ips[0] if assignment.ips else address, psutil.virtual_memory()
        return Hello(
            versions=versions,
            memory_bytes=memory.total,
            free_bytes=memory.available,
            port=_free_port(here, assignment.host),
            address=here,
        )

    return made


def _free_port(address: str, host: str) -> int:
    try:
        return free_port(address)
    except OSError as error:
        raise ServerError(
            f"{address} is none of {host}'s addresses ({error.strerror}): correct the hostfile."
        ) from error
