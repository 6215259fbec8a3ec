"""Holds a group of ranks together: starts them, answers in their place while they are not there, and starts them again.

MLX makes a group once in a process, and a collective that hangs cannot be interrupted. So a broken group is given up as
a whole: all its processes end, and new ones form the next.
"""

import contextlib
import queue
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, Protocol

from mlx_spec.errors import LookaheadError, ServerError
from mlx_spec.hosts.addresses import is_here
from mlx_spec.hosts.formation import Formation, Loss, Told
from mlx_spec.hosts.group import GroupStage, GroupState, RankState
from mlx_spec.hosts.hostfile import Host, HostList
from mlx_spec.hosts.started import USUAL_PATIENCE, Commands, Patience
from mlx_spec.hosts.starting import reach

_ATTEMPTS: Final = 3
"""So often a group is tried that was never whole, where what was in its way may pass."""


class Doorman(Protocol):
    """Answers the public port while the leader does not, and has the clients' connections."""

    def open(self) -> None:
        """Answer who comes from now on."""

    def close(self) -> None:
        """Have the leader answer who comes from now on."""

    def give_up(self) -> None:
        """Nothing comes from the leader any more: answer who waits for it, too."""


class Supervisor:
    """Runs a group of `hosts` until it is told to `stop`. `state` is what /v1/group shows; `changed` hears of each, and
    `found` is called once, when the leader has found its target.

    What fails before the group was ever whole is raised: somebody sits there who can mend it. Later it is told, and
    tried again as soon as all machines answer.
    """

    def __init__(
        self,
        hosts: HostList,
        commands: Commands,
        doorman: Doorman,
        *,
        changed: Callable[[GroupState], object] = lambda state: None,
        found: Callable[[], object] = lambda: None,
        patience: Patience = USUAL_PATIENCE,
        reach: Callable[[str], str | None] = reach,
    ) -> None:
        self._hosts, self._commands, self._doorman, self._patience = hosts, commands, doorman, patience
        self._changed, self._found, self._reach = changed, found, reach
        # A SimpleQueue, as its put may interrupt its own put: signal handlers call it.
        self._stops: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_stopping = False
        self._formation: Formation | None = None
        self._attempts, self._may_pass, self._is_found = 0, False, False
        ranks = tuple(RankState(rank=rank, host=host.name) for rank, host in enumerate(hosts.machines))
        self.state = GroupState(stage="forming", message="The group is forming.", backend=hosts.backend, ranks=ranks)

    def stop(self) -> None:
        """End all. From any thread and any signal handler."""
        self._is_stopping = True
        self._stops.put(None)
        if (formation := self._formation) is not None:
            formation.stop()

    def run(self) -> None:
        """Until `stop`. Raises ServerError for what is wrong before the group was ever whole."""
        rest_s = 0.0
        self._doorman.open()
        try:
            while self._rest(rest_s):
                before, self._may_pass = self.state.times_formed, False
                if self._all_answer():
                    self._form()
                if self._is_stopping:
                    return
                self._attempts += 1
                if self.state.times_formed == 0 and not (self._may_pass and self._attempts < _ATTEMPTS):
                    raise ServerError(self.state.error or self.state.message)
                # Who was whole is formed again at once; what does not help is tried less and less often.
                longer_s = min(max(self._patience.again_s, 2 * rest_s), self._patience.longest_s)
                rest_s = 0.0 if self.state.times_formed > before else longer_s
        finally:
            self._doorman.close()

    def _rest(self, seconds: float) -> bool:
        """Wait before the next attempt; False where there is to be none."""
        with contextlib.suppress(queue.Empty):
            self._stops.get(timeout=seconds)
        return not self._is_stopping

    def _all_answer(self) -> bool:
        """Whether every other machine can be reached. Tells which cannot."""
        others = {rank: host for rank, host in enumerate(self._hosts.machines) if not is_here(host)}
        with ThreadPoolExecutor(max_workers=max(1, len(others)), thread_name_prefix="reach") as pool:
            answers = dict(zip(others, pool.map(self._why_not, others.values()), strict=True))
        missing = {rank: why for rank, why in answers.items() if why is not None}
        if not missing:
            return True
        ranks = tuple(
            one.at("missing", error=missing[one.rank]) if one.rank in missing else one.at("starting", error=None)
            for one in self.state.ranks
        )
        names = " and ".join(self._hosts.machines[rank].name for rank in missing)
        verb = "do" if len(missing) > 1 else "does"
        message = f"Waiting for {names}, which {verb} not answer ({next(iter(missing.values()))})."
        self._tell(replace(self.state, stage="waiting", message=message, ranks=ranks))
        return False

    def _why_not(self, host: Host) -> str | None:
        """Why a machine cannot be reached, None where it can."""
        try:
            return self._reach(host.name)
        except (LookaheadError, OSError) as error:  # what is known of joined machines cannot be read
            return str(error).rstrip(".")

    def _form(self) -> None:
        """Start all ranks and follow them until one is gone; none is left then."""
        ranks = tuple(one.at("starting", error=None, progress=None) for one in self.state.ranks)
        again = f"The group is forming again: {self.state.error}" if self.state.error else "The group is forming."
        self._tell(replace(self._at("forming", again), ranks=ranks))
        self._formation = formation = Formation(self._hosts, self._commands, self._patience)
        if self._is_stopping:  # asked before there was anybody to tell
            return
        loss: Loss | None = None
        try:
            loss = self._followed(formation)
            if loss is not None:
                self._lose(loss)
                self._doorman.open()
                if formation.is_led:  # stopped, or hanging: what has ended has said what it could
                    self._doorman.give_up()
        finally:
            formation.end(asked=loss is None)

    def _followed(self, formation: Formation) -> Loss | None:
        """Why the group is none any more, or was none; None where it is to end."""
        try:
            formation.start({"times_formed": self.state.times_formed, "error": self.state.error})
        except LookaheadError as error:
            return Loss(str(error))
        except OSError as error:
            return Loss(f"The group cannot be started ({error}).")
        return formation.follow(self._heard)

    def _heard(self, told: Told) -> None:
        if told.found and not self._is_found:
            self._is_found = True
            self._found()
        if told.meeting:
            self._doorman.open()  # meanwhile nothing of the leader's process goes on, nor does it answer
        if told.serves or told.meeting is False:
            self._doorman.close()
        if told.state is None:
            return
        if told.state.stage == "lost":
            self._doorman.open()  # the leader lets nobody in any more
        # What it was lost of is told until it is whole.
        self._tell(replace(told.state, error=told.state.error or self.state.error))

    def _lose(self, loss: Loss) -> None:
        self._may_pass = loss.may_pass
        if self.state.stage == "lost":  # the leader has found out why, which goes before what is seen of its process
            return
        ranks = tuple(
            one.at("lost", error=loss.message, progress=None) if one.rank == loss.rank else one
            for one in self.state.ranks
        )
        self._tell(replace(self._at("lost", loss.message), ranks=ranks, error=loss.message))

    def _at(self, stage: GroupStage, message: str) -> GroupState:
        since_s = self.state.since_s if stage == self.state.stage else time.time()
        return replace(self.state, stage=stage, message=message, since_s=since_s)

    def _tell(self, state: GroupState) -> None:
        self.state = state
        self._changed(state)
