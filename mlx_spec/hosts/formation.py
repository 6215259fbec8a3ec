"""One group from the start of its processes to their end."""

import json
import math
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from mlx_spec.errors import ServerError
from mlx_spec.hosts.addresses import is_here, leader_address
from mlx_spec.hosts.channel.follower import LEFT_CODE
from mlx_spec.hosts.channel.handshake import new_secret
from mlx_spec.hosts.finding.joined import check_given, follower_command, joined
from mlx_spec.hosts.group import GroupState
from mlx_spec.hosts.hostfile import Host, HostList
from mlx_spec.hosts.started import Commands, Patience
from mlx_spec.hosts.starting import SSH_FAILED, RankProcess, Relay, environment_lines, remote_script, ssh_command

_LAST_WORDS: Final = "mlx-spec: "
"""What a command ends with that fails."""
_OF_MLX: Final = ("[ring] ", "[jaccl] ")


@dataclass(frozen=True, slots=True)
class Told:
    """What the leader has told through its pipe: its state, that it answers the public port from now on, why no group
    can be made, that the ranks meet, or do no more, who of them is not there yet, and that there is such a target; all
    None: that it is there."""

    state: GroupState | None = None
    serves: bool = False
    fatal: str | None = None
    meeting: bool | None = None
    absent: tuple[int, ...] | None = None
    found: bool = False


@dataclass(frozen=True, slots=True)
class Exited:
    """The process of a rank has ended."""

    rank: int
    code: int


class Stop:
    """All is to end."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Why a group is none any more. `rank` is who was gone first, None where that is not known. `may_pass`: what ranks
    come upon as they meet, a port that somebody took just now among it, another attempt need not meet."""

    message: str
    rank: int | None = None
    may_pass: bool = False


Event = Told | Exited | Stop


class Formation:
    """Starts the ranks of `hosts`, follows them, and ends them."""

    def __init__(self, hosts: HostList, commands: Commands, patience: Patience) -> None:
        self._hosts, self._commands, self._patience = hosts, commands, patience
        # Its own: what is told of processes that are over must not reach the next ones.
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._processes: dict[int, RankProcess] = {}
        self._fatal: str | None = None
        self._exited: list[Exited] = []
        # While the ranks meet, the leader can give no sign: until when they may.
        self._meeting_until_s: float | None = None
        # Why is known: what followers say from then on comes of it.
        self._is_over = False
        self._absent: tuple[int, ...] = ()

    def start(self, told: Mapping[str, Any]) -> None:
        """Start all processes, each with what it is `told` besides. Raises LookaheadError for what is in the way; then
        some may run."""
        address = leader_address(self._hosts.machines)
        reads, writes = os.pipe()
        try:
            with self._listening(address) as control:
                leader = [address, control.getsockname()[1]]
                common = {**self._commands.config, **told, "secret": new_secret().hex(), "leader": leader}
                common["hosts"] = [host.name for host in self._hosts.machines]
                common["all_ips"] = [list(host.ips) for host in self._hosts.machines]
                common["rdma"] = [list(host.rdma) for host in self._hosts.machines]
                common["backend"] = self._hosts.backend
                handed = (self._commands.listener, control.fileno(), writes)
                own = dict(zip(("listener", "control", "status"), handed, strict=True))
                for rank in range(len(self._hosts)):
                    self._try_to_start(rank, common if rank else {**common, **own}, () if rank else handed)
        except BaseException:
            os.close(reads)
            raise
        finally:
            os.close(writes)
        threading.Thread(target=self._listen, args=(reads,), name="leader's state", daemon=True).start()

    def _listening(self, address: str) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            return socket.create_server((address, 0), family=family, backlog=64)
        except OSError as error:
            raise ServerError(
                f"{self._name(0)} cannot listen at {address} ({os.strerror(error.errno or 0)}): correct the hostfile."
            ) from error

    def follow(self, heard: Callable[[Told], object]) -> Loss | None:
        """Until one rank is gone, and why; None where all are to end. `heard` hears what the leader tells."""
        sign_s = given_up_s = math.inf
        while True:
            until_s = min(self._meeting_until_s or sign_s, given_up_s)
            try:
                left_s = max(0.0, until_s - time.monotonic())
                event = self._events.get(timeout=None if until_s == math.inf else left_s)
            except queue.Empty:
                if self._meeting_until_s is not None and given_up_s == math.inf:
                    return self._not_met()
                return self._loss(is_silent=given_up_s == math.inf)
            match event:
                case Stop():
                    return None
                case Told():
                    sign_s = time.monotonic() + self._patience.silence_s
                    self._note_meeting(event)
                    if event.fatal is not None:
                        self._fatal = self._fatal or event.fatal
                        given_up_s = min(given_up_s, time.monotonic() + self._patience.leader_s)
                    heard(event)
                case Exited():
                    self._exited.append(event)
                    if event.rank == 0:
                        return self._loss(is_silent=False)
                    # It has clients to tell; but what hangs or is stopped tells nothing.
                    given_up_s = min(given_up_s, time.monotonic() + self._patience.leader_s)

    @property
    def is_led(self) -> bool:
        """Whether there is a process of the leader's, whatever it does."""
        return 0 in self._processes and not self._processes[0].is_over

    def stop(self) -> None:
        """Have `follow` return. From any thread and any signal handler."""
        self._events.put(Stop())

    def end(self, *, asked: bool) -> None:
        """Have no process left. Those that are `asked` end in order: the leader first, who tells its clients."""
        self._is_over = True
        leader = self._processes.get(0)
        if asked and leader is not None:
            leader.ask()
            leader.wait(self._patience.leader_s)
        for process in self._processes.values():
            process.loose()
        until_s = time.monotonic() + self._patience.end_s
        for process in self._processes.values():
            process.end(max(0.0, until_s - time.monotonic()))

    def _try_to_start(self, rank: int, config: Mapping[str, Any], handed: tuple[int, ...]) -> None:
        try:
            self._start(rank, config, handed)
        except OSError as error:
            what = f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror or error
            raise ServerError(f"{self._name(rank)} cannot be started ({what}): correct the hostfile.") from error

    def _relay(self, rank: int) -> Relay:
        """What of a rank's lines is told: not what counts the attempts of MLX's threads, nor in a follower's words what
        its end says besides, or what only comes of another's."""
        tell = self._commands.relay_of(self._hosts.machines[rank].name, rank)

        def relay(line: str) -> None:
            if not line.startswith(_OF_MLX) and not (rank and (self._is_over or line.startswith(_LAST_WORDS))):
                tell(line)

        return relay

    def _start(self, rank: int, config: Mapping[str, Any], handed: tuple[int, ...] = ()) -> None:
        host = self._hosts.machines[rank]
        config, ended = {**config, "rank": rank}, partial(self._note_exit, rank)
        # What is started elsewhere reads its environment; here it would be that of ssh.
        envs = dict(line.partition("=")[::2] for line in self._hosts.envs) if is_here(host) else {}
        self._processes[rank] = RankProcess(
            self._commands.leader if rank == 0 else self._follower_command(host),
            config,
            relay=self._relay(rank),
            keeps_output=rank == 0,
            ended=ended,
            before=b"" if is_here(host) else environment_lines(self._hosts.envs),
            environment={**envs, **(self._commands.leader_environment if rank == 0 else {})},
            handed=handed,
        )

    def _follower_command(self, host: Host) -> tuple[str, ...]:
        python = host.python or self._hosts.python
        if is_here(host):
            # This installation, unless another one is meant; a frozen program has no interpreter to replace.
            own = self._commands.follower
            return own if python is None or own[1:2] != ("-m",) else (python, *own[1:])
        if (known := joined(host.name)) is not None:
            check_given(known, python, self._hosts.envs)
            return follower_command(known, reads_environment=bool(self._hosts.envs))
        script = remote_script(
            self._commands.follower,
            host=host.name,
            python=python,
            folder=self._commands.folder,
            reads_environment=bool(self._hosts.envs),
        )
        return tuple(ssh_command(host.name, script))

    def _note_exit(self, rank: int, code: int) -> None:
        self._is_over |= rank == 0
        self._events.put(Exited(rank, code))

    def _listen(self, pipe: int) -> None:
        with open(pipe, "rb") as lines:
            for line in lines:
                said = json.loads(line)
                state = said.get("state")
                self._is_over |= "fatal" in said or (state is not None and state["stage"] == "lost")
                self._events.put(
                    Told(
                        GroupState.from_dict(state) if state is not None else None,
                        bool(said.get("serves")),
                        said.get("fatal"),
                        said.get("meeting"),
                        tuple(said["absent"]) if "absent" in said else None,
                        bool(said.get("found")),
                    )
                )

    def _note_meeting(self, told: Told) -> None:
        if told.meeting is not None:
            self._meeting_until_s = time.monotonic() + self._patience.meeting_s if told.meeting else None
        if told.absent is not None:
            self._absent = told.absent

    def _not_met(self) -> Loss:
        """The meeting has not come about. Who waits in it can tell nothing, but one that is stopped can be seen."""
        late = [rank for rank in self._absent or (0,) if not self._processes[rank].is_over]
        late = [rank for rank in late if self._processes[rank].is_stopped] or late
        names = " and ".join(self._name(rank) for rank in late)
        why = f"did not come to the meeting of all ranks within {self._patience.meeting_s:g} s"
        return Loss(f"{names} {why}: see that no firewall is in the way, and that each can reach the others.", late[0])

    def _loss(self, is_silent: bool) -> Loss:
        return replace(self._found_loss(is_silent), may_pass=self._meeting_until_s is not None)

    def _found_loss(self, is_silent: bool) -> Loss:
        if self._fatal is not None:
            return Loss(self._fatal)
        # Who ended as its leader did is not to blame for that.
        guilty = [one for one in self._exited if one.rank == 0 or one.code not in (0, LEFT_CODE)]
        if is_silent or not guilty:
            return Loss(f"{self._name(0)} gave no sign of life.", 0)
        rank, code = guilty[0].rank, guilty[0].code
        words = self._processes[rank].last_words.removeprefix(_LAST_WORDS).rstrip(".")
        if code == SSH_FAILED and not is_here(self._hosts.machines[rank]):
            return Loss(f"The connection to {self._name(rank)} ended ({words or 'without a word'}).", rank)
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return Loss(f"{self._name(rank)} {how}{f': {words}' if words else ''}.", rank)

    def _name(self, rank: int) -> str:
        return f"{self._hosts.machines[rank].name} (rank {rank})"
