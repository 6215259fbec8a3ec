"""What a rank is told at its start, in one line of its input: which one it is, of which group, and how to get there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlx_spec.hosts.channel.link import USUAL_PULSE, Pulse
from mlx_spec.hosts.leash import be_held, read_line
from mlx_spec.hosts.watchdog import LIMIT_S

RANK_VARIABLE = "LOOKAHEAD_RANK"
"""In the environment of a process that is rank 0 of a group, and reads the rest from its input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """`hosts` are the names of all machines by rank, `leader` the address of its control channel, `all_ips` where the
    others reach each rank (empty: by the way it comes), `rdma` all ranks' devices. The leader alone has descriptors: of
    the `listener` of the public port, of the `control` channel's, and of the pipe for its `status`. `told` is the
    rest."""

    rank: int
    hosts: tuple[str, ...]
    secret: bytes
    leader: tuple[str, int]
    all_ips: tuple[tuple[str, ...], ...] = ()
    backend: str = "ring"
    rdma: tuple[tuple[Any, ...], ...] = ()
    times_formed: int = 0
    listener: int | None = None
    control: int | None = None
    status: int | None = None
    timeout_s: float = LIMIT_S
    pulse: Pulse = USUAL_PULSE
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The name of its machine."""
        return self.hosts[self.rank]

    @property
    def ips(self) -> tuple[str, ...]:
        """Where the others reach this rank."""
        return self.all_ips[self.rank]

    @classmethod
    def from_line(cls, line: bytes) -> "Assignment":
        """What a supervisor wrote. Raises ValueError, KeyError for anything else."""
        said = json.loads(line)
        pulse = said.get("pulse")
        return cls(
            rank=said["rank"],
            hosts=tuple(said["hosts"]),
            secret=bytes.fromhex(said["secret"]),
            leader=(said["leader"][0], said["leader"][1]),
            all_ips=tuple(tuple(ips) for ips in said["all_ips"]),
            backend=said["backend"],
            rdma=tuple(tuple(one) for one in said["rdma"]),
            times_formed=said["times_formed"],
            listener=said.get("listener"),
            control=said.get("control"),
            status=said.get("status"),
            timeout_s=said.get("timeout_s", LIMIT_S),
            pulse=Pulse(*pulse) if pulse else USUAL_PULSE,
            told=said,
        )


def assigned(end: int = 0) -> Assignment:
    """Read what this process is to be, and be held by the same leash from then on. Raises ValueError, KeyError where
    nobody has started it as a rank."""
    assignment = Assignment.from_line(read_line(end))
    be_held(end)
    return assignment
