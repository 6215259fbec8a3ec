"""What it takes to start the ranks of a group, and how long they are waited for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mlx_spec.hosts.rendezvous import MEETING_S
from mlx_spec.hosts.starting import Relay, tell_on_stderr


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a group is waited for, in seconds: for the leader to end by itself when a rank is lost, for processes to
    end when they were told to, for a sign of the leader's life, for the ranks to meet, and before the next attempt,
    longer each time."""

    leader_s: float = 3.0
    end_s: float = 2.0
    silence_s: float = 6.0
    meeting_s: float = MEETING_S
    again_s: float = 1.0
    longest_s: float = 30.0


USUAL_PATIENCE: Final = Patience()


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """How the processes of a group are started: the leader's command and a follower's, what each is told of the group
    besides its own, the descriptor of the public socket, which the leader is handed, and the folder that ssh enters
    first, where there is one of that name."""

    leader: tuple[str, ...]
    follower: tuple[str, ...]
    listener: int
    config: Mapping[str, Any] = field(default_factory=dict)
    leader_environment: Mapping[str, str] = field(default_factory=dict)
    folder: str | None = None
    relay_of: Callable[[str, int], Relay] = tell_on_stderr
