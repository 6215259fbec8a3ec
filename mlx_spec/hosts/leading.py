"""The leader's part in a group: who has come and agreed, what is told of it, and who is gone. Knows no model."""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import psutil

from mlx_spec.errors import RankLostError
from mlx_spec.hosts.addresses import free_ports
from mlx_spec.hosts.assignment import Assignment
from mlx_spec.hosts.channel.hello import Hello
from mlx_spec.hosts.channel.leader import ENTERED, ENTERS, HERE, LeaderChannel
from mlx_spec.hosts.group import GroupStage, GroupState, RankState, Share
from mlx_spec.hosts.rendezvous import Rendezvous, meeting
from mlx_spec.hosts.versions import Versions, versions_here
from mlx_spec.hosts.watchdog import Watchdog

COMING_S: Final = 120.0
"""A follower may need so long for its interpreter to start and connect."""
_EXPLAINING_S: Final = 7.0
"""Somewhat longer than it takes to notice silence."""


class Leading:
    """Rank 0 of a group. `gather`, then `agree`; `channel` tells the steps, `watchdog` watches those who wait for them.
    The supervisor hears of `state` with every beat. Any thread may ask for it."""

    def __init__(self, assignment: Assignment, versions: Versions | None = None) -> None:
        assert assignment.control is not None, "rank 0 is handed its sockets"
        control = socket.socket(fileno=assignment.control)
        versions = versions or versions_here()
        self.assignment = assignment
        self.channel = LeaderChannel(control, assignment.secret, assignment.hosts, versions, assignment.pulse)
        self.watchdog = Watchdog(assignment.timeout_s, self._overdue)
        self._hellos: dict[int, Hello] = {}
        self._lock = threading.Lock()
        memory, error = psutil.virtual_memory(), assignment.told.get("error")
        ranks = tuple(RankState(rank=rank, host=host) for rank, host in enumerate(assignment.hosts))
        own = replace(ranks[0], memory_bytes=memory.total, free_bytes=memory.available)
        self._state = GroupState(
            stage="forming",
            message=f"The group is forming again: {error}" if error else "The group is forming.",
            error=error,
            backend=assignment.backend,
            ranks=(own, *ranks[1:]),
            times_formed=assignment.times_formed,
        )
        self._is_meeting = self._has_entered = False
        self._writing = threading.Lock()
        self.channel.on_lost(self._lose)
        threading.Thread(target=self._show_signs, name="signs of life", daemon=True).start()

    def gather(self, limit_s: float = COMING_S) -> None:
        """Wait for the followers. Raises RankLostError, ServerError, as `LeaderChannel.gather`."""
        self._hellos = self.channel.gather(limit_s)
        for rank, hello in self._hellos.items():
            self.note(rank, memory_bytes=hello.memory_bytes, free_bytes=hello.free_bytes)

    def agree(self, content: str, what: str) -> None:
        """Wait until each follower has found its model, and see that all have the same `content`; `what` is its name.
        Raises ServerError for one whose files differ, RankLostError."""
        for rank, words in self.channel.said("model").items():
            if words["content"] != content:
                host = self.assignment.hosts[rank]
                raise self.channel.refuse(
                    rank,
                    f"{host} (rank {rank}) has another {what} than {self.assignment.host}: the files differ, so copy or"
                    " fetch the model again there.",
                )

    @contextlib.contextmanager
    def meeting(self) -> Iterator[Rendezvous]:
        """Around the leader's way into the collectives, where the ranks meet at ports that were free on each machine a
        moment ago. That way may hold all threads: it is begun when all others are about to go it, nobody minds
        silence until all are there, and the supervisor ends what takes too long. Raises RankLostError, ServerError."""
        places = self._places()
        self._is_meeting = True
        self._write({"meeting": True, "absent": self._absent()})
        self.channel.tell({"meeting": meeting(self.assignment.backend, places, self.assignment.rdma).to_dict()})
        self.channel.said(ENTERS)
        self._write({"absent": self._absent()})
        try:
            yield meeting(self.assignment.backend, places, self.assignment.rdma)
        except (RuntimeError, OSError) as error:  # a port that somebody else took, a machine that went away just now
            raise self.channel.lose(0, f"could not meet the others ({_words(error)})") from error
        self._has_entered = True
        self.channel.met()
        self._is_meeting = False
        self._write({"meeting": False})

    def _places(self) -> dict[int, tuple[Sequence[str], Sequence[int]]]:
        ports = {rank: words["ports"] for rank, words in self.channel.said(HERE).items()}
        here = self.assignment.ips or (self.channel.address or "127.0.0.1",)
        try:
            places: dict[int, tuple[Sequence[str], Sequence[int]]] = {0: (here, free_ports(here))}
        except OSError as error:
            raise self.channel.lose(0, f"has no port at {' or '.join(here)} ({_words(error)})") from error
        for rank, hello in self._hellos.items():
            assert hello.address is not None, "a follower says where it is"
            places[rank] = (self.assignment.all_ips[rank] or (hello.address,), ports[rank])
        return places

    def _absent(self) -> list[int]:
        """Who has not entered the collectives: who is not even about to, where there is one."""
        followers = set(self._hellos)
        late = followers - self.channel.have_said(ENTERS) or followers - self.channel.have_said(ENTERED)
        is_own = not self._has_entered and followers == self.channel.have_said(ENTERS)
        return sorted({0} | late if is_own else late)

    def found(self) -> None:
        """Tell the supervisor that there is such a target."""
        self._write({"found": True})

    def serves(self) -> None:
        """Tell the supervisor that the public port is answered here from now on."""
        self._write({"serves": True})

    def fail(self, message: str) -> None:
        """Tell the supervisor, in a sentence, why there can be no group."""
        self._write({"fatal": message})

    def note(self, rank: int, **changes: Any) -> None:
        """Something is known of a rank: fields of RankState."""
        with self._lock:
            ranks = list(self._state.ranks)
            stage = changes.pop("stage", ranks[rank].stage)
            ranks[rank] = ranks[rank].at(stage, **changes)
            self._state = replace(self._state, ranks=tuple(ranks))

    def split(self, way: str, exactness: str, shares: Sequence[Share]) -> None:
        """How the target is split from now on; the ranks load."""
        for rank, share in enumerate(shares):
            self.note(rank, stage="loading", share=share)
        with self._lock:
            self._state = replace(self._state, way=way, exactness=exactness)

    def ready(self) -> None:
        """All ranks have loaded: the group is whole."""
        for rank in range(len(self.assignment.hosts)):
            self.note(rank, stage="ready", progress=None)
        names = ", ".join(self.assignment.hosts)
        self._change(
            "ready", f"The group is whole: {names}.", error=None, times_formed=self.assignment.times_formed + 1
        )

    def state(self) -> GroupState:
        """What /v1/group shows now."""
        with self._lock:
            state = self._state
        return replace(state, ranks=tuple(self._seen(one) for one in state.ranks))

    def explained(self, error: BaseException) -> RankLostError | None:
        """Which rank's loss an `error` of a collective comes from; waits for it, as the channel may need a while to
        notice. None for an error of another kind."""
        if isinstance(error, RankLostError):
            return error
        if self.channel.lost is None and not isinstance(error, RuntimeError | OSError):
            return None
        return self.channel.wait_lost(_EXPLAINING_S)

    def close(self) -> None:
        """End all followers."""
        self.watchdog.close()
        self.channel.close()

    def _seen(self, one: RankState) -> RankState:
        if one.rank == 0:
            return one
        carried: Mapping[str, Any] = self.channel.carried(one.rank)
        changes = {name: carried[name] for name in ("held_bytes", "free_bytes", "progress") if name in carried}
        return replace(one, latency_ms=self.channel.latency_ms(one.rank), **changes)

    def _overdue(self, taken_s: float) -> None:
        """A pass waits for somebody: for who has taken the fewest of the steps that were told."""
        taken = {rank: int(self.channel.carried(rank).get("taken", 0)) for rank in self._hellos}
        rank = min(taken, key=lambda one: taken[one])
        behind = taken[rank] < self.channel.num_told
        why = f"does not go on: a pass has taken {taken_s:.0f} s"
        self.channel.lose(rank, why if behind else f"{why}, perhaps because the way there is cut")

    def _lose(self, error: RankLostError) -> None:
        self.note(error.rank, stage="lost", error=str(error))
        self._change("lost", str(error), error=str(error))

    def _change(self, stage: GroupStage, message: str, **changes: Any) -> None:
        with self._lock:
            since_s = self._state.since_s if stage == self._state.stage else time.time()
            self._state = replace(self._state, stage=stage, message=message, since_s=since_s, **changes)
        self._write({"state": self.state().to_dict()})

    def _show_signs(self) -> None:
        while True:
            self._write({"state": self.state().to_dict(), **({"absent": self._absent()} if self._is_meeting else {})})
            time.sleep(self.assignment.pulse.interval_s)

    def _write(self, message: Mapping[str, Any]) -> None:
        if self.assignment.status is not None:
            with self._writing, contextlib.suppress(OSError):  # without a supervisor the leash ends this process
                os.write(self.assignment.status, json.dumps(message).encode() + b"\n")


def _words(error: BaseException) -> str:
    return str(error).rstrip(".") or type(error).__name__
