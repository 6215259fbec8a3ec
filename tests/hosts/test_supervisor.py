"""Groups of stand-ins for ranks: killed, stopped, hanging, unlike each other; and nobody is left behind."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlx_spec.errors import ServerError, StorageError
from mlx_spec.hosts.group import GroupState, Share
from mlx_spec.hosts.hostfile import Host, HostList, read_hosts
from mlx_spec.hosts.started import Patience
from mlx_spec.hosts.supervisor import Supervisor
from tests.hosts.stand_in import PATIENCE, Doorman, commands

HANGS_S = 60.0  # no measure of time: only so that what hangs is a failure


class Running:
    """A supervisor in a thread, and what it told."""

    def __init__(self, hosts: HostList, timeout_s: float = 60.0, patience: Patience = PATIENCE, **options: Any) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        os.set_inheritable(self._listener.fileno(), True)
        self.doorman = Doorman(self._listener)
        self.states: list[GroupState] = []
        self.changed = threading.Condition()
        self.lines: list[str] = []
        made = replace(commands(self._listener), relay_of=lambda host, rank: self.lines.append)
        made = replace(made, config={**made.config, "timeout_s": timeout_s})
        self.supervisor = Supervisor(
            hosts,
            made,
            self.doorman,
            changed=self._hear,
            patience=patience,
            **options,
        )
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.supervisor.run()
        except ServerError as error:
            self.error = error

    def _hear(self, state: GroupState) -> None:
        with self.changed:
            self.doorman.says = state.message
            self.states.append(state)
            self.changed.notify_all()

    def until(self, condition: Callable[[GroupState], bool]) -> GroupState:
        """Wait for a state."""
        with self.changed:
            found = self.changed.wait_for(lambda: [one for one in self.states if condition(one)], HANGS_S)
        assert found, self.states[-1]
        return found[0]

    def whole(self, times: int = 1) -> GroupState:
        """Wait until the group was whole so many times."""
        return self.until(lambda state: state.stage == "ready" and state.times_formed == times)

    def ask(self) -> socket.socket:
        """A client."""
        client = socket.create_connection(self._listener.getsockname())
        client.settimeout(HANGS_S)
        return client

    def close(self) -> None:
        """End it."""
        self.supervisor.stop()
        self.thread.join(HANGS_S)
        assert not self.thread.is_alive()
        self.doorman.end()
        self._listener.close()


@contextmanager
def running(hosts: str | HostList = "127.0.0.1,127.0.0.1", **options: Any) -> Iterator[Running]:
    made = Running(read_hosts(hosts) if isinstance(hosts, str) else hosts, **options)
    try:
        yield made
    finally:
        made.close()
        assert ranks_of(psutil.Process()) == {}


def ranks_of(process: psutil.Process) -> dict[str, list[psutil.Process]]:
    """The processes of ranks below another one, by what they are."""
    found: dict[str, list[psutil.Process]] = {}
    for one in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "tests.hosts.stand_in" in (line := one.cmdline()) and one.status() != psutil.STATUS_ZOMBIE:
                found.setdefault(line[-1], []).append(one)
    return found


def lines_of(client: socket.socket) -> Iterator[str]:
    with client, client.makefile() as stream:
        for line in stream:
            yield line.rstrip()


def test_a_group_forms_answers_and_ends() -> None:
    with running("127.0.0.1,127.0.0.1,127.0.0.1") as group:
        state = group.whole()
        assert [(one.rank, one.host, one.stage) for one in state.ranks] == [(i, "127.0.0.1", "ready") for i in range(3)]
        assert all(one.memory_bytes and one.free_bytes for one in state.ranks)
        assert (state.way, state.exactness, state.ranks[2].share) == ("tensor", "strict", Share(1 / 3))
        assert next(lines_of(group.ask())) == "step 0"
        assert {kind: len(found) for kind, found in ranks_of(psutil.Process()).items()} == {"leader": 1, "follower": 2}
    assert group.error is None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_follower_that_is_gone_or_stopped_ends_the_answer_with_its_name_and_the_group_forms_again(
    number: int,
) -> None:
    with running() as group:
        group.whole()
        lines = lines_of(group.ask())
        assert next(lines) == "step 0"
        ranks_of(psutil.Process())["follower"][0].send_signal(number)
        *_, last = lines
        assert last.startswith("lost: 127.0.0.1 (rank 1)")
        state = group.whole(2)
        assert state.error is None or "rank 1" in state.error
        lost = next(one for one in group.states if one.stage == "lost")
        assert "rank 1" in (lost.error or "")
        assert group.doorman.gave_up == 0  # the leader has told everybody
        assert next(lines_of(group.ask())) == "step 0"
        assert group.lines == ["The leader ends."]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_leader_that_is_gone_or_stopped_takes_all_with_it_and_is_started_again(number: int) -> None:
    with running() as group:
        group.whole()
        lines = lines_of(group.ask())
        assert next(lines) == "step 0"
        before = ranks_of(psutil.Process())
        before["leader"][0].send_signal(number)
        with contextlib.suppress(ConnectionError):
            assert not any(line.startswith("lost") for line in lines)  # it could say nothing: its connections break
        group.whole(2)
        # What is stopped still has its connections: so whoever waits for it is told at once, and not when it is ended.
        assert group.doorman.gave_up == (number == signal.SIGSTOP)
        assert not any(
            one.is_running() and one.status() != psutil.STATUS_ZOMBIE
            for one in [*before["leader"], *before["follower"]]
        )


def test_a_follower_that_hangs_in_a_step_is_found_by_the_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its threads go on: there is no silence."""
    monkeypatch.setenv("TEST_HANGS", "1")
    with running(timeout_s=0.05) as group:
        group.whole()
        client = group.ask()
        state = group.until(lambda state: state.stage == "lost")
        assert "does not go on: a pass has taken" in (state.error or "")
        client.close()


def test_ranks_that_wait_for_each_other_longer_than_silence_may_last_are_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No thread of theirs goes on meanwhile: nobody hears of the leader, and then only one of the others is late."""
    for rank, seconds in enumerate((3, 4, 0)):
        monkeypatch.setenv(f"TEST_HOLDS_{rank}", str(seconds))
    with running("127.0.0.1,127.0.0.1,127.0.0.1") as group:
        group.until(lambda state: state.way == "tensor")
        assert next(lines_of(group.ask())) == "503 The group is forming."
        group.whole()
        assert {one.stage for one in group.states} == {"forming", "ready"}
        assert next(lines_of(group.ask())) == "step 0"


def test_a_meeting_that_does_not_come_about_has_a_limit_and_names_who_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEST_STOPS", "1")
    for rank in (0, 2):
        monkeypatch.setenv(f"TEST_HOLDS_{rank}", "600")
    with running("127.0.0.1,127.0.0.1,127.0.0.1", patience=replace(PATIENCE, meeting_s=0.5)) as group:
        group.thread.join(HANGS_S)
        assert str(group.error).startswith("127.0.0.1 (rank 1) did not come to the meeting of all ranks within 0.5 s")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_port_that_somebody_took_is_another_attempt(
    rank: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(f"TEST_REFUSED_{rank}", str(tmp_path / "refused"))
    with running() as group:
        group.whole()
        lost = next(one for one in group.states if one.stage == "lost")
        assert f"(rank {rank})" in (lost.error or "")


def test_another_version_is_told_and_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_OTHER_VERSION", "2")
    with running("127.0.0.1,127.0.0.1,127.0.0.1") as group:
        group.thread.join(HANGS_S)
        assert "(rank 2) computes with other versions: MLX 0.0.1 on" in str(group.error)


def test_another_model_is_told_and_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_CONTENT_1", "another content")
    with running() as group:
        group.thread.join(HANGS_S)
        assert "127.0.0.1 (rank 1) has another model than 127.0.0.1: the files differ" in str(group.error)
    assert group.lines == []  # the follower that was refused says the same once more


@pytest.mark.parametrize(
    ("hosts", "sentence"),
    [
        (
            HostList((Host("127.0.0.1", ("192.0.2.9",)), Host("127.0.0.1"))),
            "127.0.0.1 (rank 0) cannot listen at 192.0.2.9 (",
        ),
        (
            HostList((Host("127.0.0.1"), Host("127.0.0.1", ("192.0.2.9",)))),
            "127.0.0.1 (rank 1): No port of 192.0.2.9 is to be had on 127.0.0.1 (",
        ),
        (
            HostList((Host("127.0.0.1"), Host("127.0.0.1", python="/no/python"))),
            "127.0.0.1 (rank 1) cannot be started (/no/python: ",
        ),
    ],
)
def test_what_is_wrong_with_a_hostfile_is_one_sentence(hosts: HostList, sentence: str) -> None:
    with running(hosts) as group:
        group.thread.join(HANGS_S)
        told = str(group.error)
        assert told.startswith(sentence)
        assert told.endswith("correct the hostfile.")


def test_a_group_that_was_whole_is_tried_again_whatever_keeps_it_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[Exception] = [ServerError("There is no way."), OSError("too many open files")]

    def no_way(hosts: object) -> str:
        raise failures.pop(0)

    with running() as group:
        group.whole()
        with monkeypatch.context() as away:
            away.setattr("mlx_spec.hosts.formation.leader_address", no_way)
            ranks_of(psutil.Process())["follower"][0].kill()
            group.until(lambda state: "too many open files" in (state.error or ""))
        group.whole(2)
    assert any(state.error == "There is no way." for state in group.states)


def failing(host: str) -> str:
    raise StorageError("Permission denied (publickey).")


@pytest.mark.parametrize("reach", [lambda host: "Permission denied (publickey)", failing])
def test_a_machine_that_ssh_does_not_get_to_is_named(reach: Callable[[str], str | None]) -> None:
    hosts = HostList((Host("127.0.0.1"), Host("b.invalid", ("192.0.2.1",))))
    with running(hosts, reach=reach) as group:
        group.thread.join(HANGS_S)
        assert str(group.error) == "Waiting for b.invalid, which does not answer (Permission denied (publickey))."


def test_while_nobody_is_there_the_doorman_answers_and_what_came_back_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has answered, is away, and comes back."""
    answers: list[str | None] = [None, "No route to host", "No route to host", None]
    monkeypatch.setattr("mlx_spec.hosts.formation.ssh_command", lambda host, script: commands_of_script(script))
    for module in ("formation", "supervisor"):
        monkeypatch.setattr(f"mlx_spec.hosts.{module}.is_here", lambda host: host.is_loopback)
    hosts = HostList((Host("127.0.0.1", ("127.0.0.1",)), Host("b.invalid", ("127.0.0.1",))))
    said: list[str] = []

    def reach(host: str) -> str | None:
        if len(answers) == 2:
            said.append(next(lines_of(group.ask())))
        return answers.pop(0)

    with running(hosts, reach=reach) as group:
        group.whole()
        ranks_of(psutil.Process())["follower"][0].kill()
        group.whole(2)
    assert said == ["503 Waiting for b.invalid, which does not answer (No route to host)."]


def commands_of_script(script: str) -> list[str]:
    return ["sh", "-c", script]


def test_when_the_supervisor_is_killed_nobody_is_left() -> None:
    """Nor one that is stopped, and can do nothing about it."""
    command = [sys.executable, "-m", "tests.hosts.stand_in", "supervisor"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = ("127.0.0.1", int(process.stdout.readline()))
        line = "503"
        while line.startswith("503"):
            line = next(lines_of(socket.create_connection(address)))
        ranks = [one for found in ranks_of(psutil.Process(process.pid)).values() for one in found]
        assert len(ranks) == 2
        ranks[0].suspend()
        process.kill()
        _, left = psutil.wait_procs(ranks, HANGS_S)
        assert left == []
