"""`mlx-spec serve --hosts`: bind the address, and hold a group of ranks together behind it. No model, no MLX."""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Collection, Sequence
from functools import partial
from types import FrameType

from mlx_spec.hosts.addresses import check_first_is_here
from mlx_spec.hosts.assignment import RANK_VARIABLE
from mlx_spec.hosts.group import GroupState
from mlx_spec.hosts.hostfile import HostList
from mlx_spec.hosts.started import Commands
from mlx_spec.hosts.supervisor import Supervisor
from mlx_spec.machine.interruption import SIGNALS
from mlx_spec.machine.parent import watch_parent
from mlx_spec.machine.program import own_command
from mlx_spec.server.address import bind, url_of
from mlx_spec.server.group.doorman import HttpDoorman
from mlx_spec.server.guard import checked_access

logger = logging.getLogger(__name__)


def serve_group(
    hosts: HostList,
    arguments: Sequence[str],
    *,
    target: str,
    timeout_s: float,
    host: str,
    port: int,
    api_key: str | None = None,
    allow_hosts: Collection[str] = (),
    allow_origins: Collection[str] = (),
    parent_pid: int | None = None,
    changed: Callable[[GroupState], object] = lambda state: None,
    leader: Sequence[str] | None = None,
    follower: Sequence[str] | None = None,
) -> None:
    """Serve `target` over `hosts` until SIGTERM, SIGINT, SIGHUP or the parent's end, as `serve.serve` does over one.

    Prints `Listening on http://HOST:PORT` once it is known that there is such a target. Rank 0 is `mlx-spec` with
    `arguments`, the command line that asked for this; the others are told what they need. `changed` hears of each state
    of the group. Call it on the main thread. `leader` and `follower` are other commands for the ranks.

    Raises ServerError for an address or a key that cannot be used, and for what is wrong before the group was whole.
    """
    access = checked_access(host, api_key, allow_hosts, allow_origins)
    check_first_is_here(hosts.machines)
    # The clients' connections are here; the leader, which may be killed, has a socket of its own.
    with bind(host, port) as listener, bind("127.0.0.1", 0) as own:
        commands = Commands(
            leader=tuple(leader or own_command(*arguments)),
            follower=tuple(follower or own_command("hosts", "follow")),
            listener=own.fileno(),
            config={"target": target, "timeout_s": timeout_s},
            leader_environment={RANK_VARIABLE: "0"},
            folder=os.getcwd(),
        )
        doorman = HttpDoorman(listener, access, lambda: supervisor.state, url_of(own))
        found = partial(_tell_address, listener)
        supervisor = Supervisor(hosts, commands, doorman, changed=changed, found=found)
        try:
            _supervise(supervisor, parent_pid)
        finally:
            doorman.end()


def _supervise(supervisor: Supervisor, parent_pid: int | None) -> None:
    """Until it is asked to end, by a signal or its parent's end."""

    def hear(number: int, frame: FrameType | None) -> None:
        supervisor.stop()

    for number in SIGNALS:
        # Who is started with nohup outlives its terminal; a service in the background still hears SIGINT.
        if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, hear)
    if parent_pid is not None:
        watch_parent(parent_pid, supervisor.stop)
    supervisor.run()


def _tell_address(listener: socket.socket) -> None:
    sys.stdout.write(f"Listening on {url_of(listener)}\n")
    sys.stdout.flush()
