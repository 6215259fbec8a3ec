"""Ranks without a model: `python -m tests.hosts.stand_in leader|follower|supervisor`.

The leader answers the public port with a line for each step that it tells the followers, and says in its last line what
ended it. A follower sleeps for each step. No MLX, so that a group costs a test little; where the ranks meet, they hold
the interpreter as MLX does, for as long as the environment says.
"""

import contextlib
import ctypes
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from mlx_spec.errors import LookaheadError
from mlx_spec.hosts.assignment import assigned
from mlx_spec.hosts.formation import Formation  # noqa: F401 - what a supervisor needs is imported before it is timed
from mlx_spec.hosts.group import Share
from mlx_spec.hosts.hostfile import read_hosts
from mlx_spec.hosts.joining import join, say_here
from mlx_spec.hosts.leading import Leading
from mlx_spec.hosts.started import Commands, Patience
from mlx_spec.hosts.supervisor import Supervisor
from mlx_spec.hosts.versions import versions_here

STEP_S: Final = 0.005
# Long enough for a busy machine, short enough for a test.
PULSE: Final = (0.1, 2.0)
PATIENCE: Final = Patience(leader_s=2.0, end_s=1.0, silence_s=2.0, again_s=0.05, longest_s=0.2)


def lead() -> int:
    """Rank 0."""
    assignment = assigned()
    leading = Leading(assignment)
    try:
        leading.gather()
        leading.agree("the content", "model")
    except LookaheadError as error:
        leading.fail(str(error))
        return 2
    leading.split("tensor", "strict", [Share(1 / len(assignment.hosts))] * len(assignment.hosts))
    leading.serves()
    try:
        with leading.meeting():
            enter(0)
    except LookaheadError:
        leading.close()
        return 75
    assert assignment.listener is not None
    listener = socket.socket(fileno=assignment.listener)
    lost = threading.Event()
    leading.channel.on_lost(lambda error: lost.set())
    leading.ready()
    threading.Thread(target=accept, args=(listener, leading), daemon=True).start()
    lost.wait()
    sys.stderr.write("[ring] Receiving from socket 5 failed with errno 104\nThe leader ends.\n")
    time.sleep(0.1)  # for those who answer to say so
    leading.close()
    return 75


def enter(rank: int) -> None:
    """What MLX does where ranks meet: no thread of this process goes on meanwhile."""
    if os.environ.get("TEST_STOPS") == str(rank):
        os.kill(os.getpid(), signal.SIGSTOP)
    if (refused := os.environ.get(f"TEST_REFUSED_{rank}")) and not Path(refused).exists():
        Path(refused).touch()
        raise RuntimeError("[ring] Couldn't bind socket (error: 98)")
    ctypes.PyDLL(None).sleep(int(os.environ.get(f"TEST_HOLDS_{rank}", "0")))


def accept(listener: socket.socket, leading: Leading) -> None:
    """Answer everybody, each in a thread."""
    while True:
        listener.setblocking(True)
        try:
            client, _ = listener.accept()
        except BlockingIOError:  # the supervisor, which has the same socket, has given it a time limit
            continue
        threading.Thread(target=answer, args=(client, leading), daemon=True).start()


def answer(client: socket.socket, leading: Leading) -> None:
    """A line for each step."""
    with client, leading.watchdog.watching("step"):
        for number in range(100_000):
            try:
                leading.channel.tell({"do": "sleep", "number": number})
                client.sendall(f"step {number}\n".encode())
            except LookaheadError as error:
                client.sendall(f"lost: {error}\n".encode())
                return
            except OSError:
                return
            time.sleep(STEP_S)


def follow() -> int:
    """Any other rank. What it does otherwise than it should stands in the environment."""
    assignment = assigned()
    versions = versions_here()
    if str(assignment.rank) == os.environ.get("TEST_OTHER_VERSION"):
        versions = replace(versions, mlx="0.0.1")
    try:
        channel = join(assignment, versions, grace_s=0.2)
        channel.say("model", content=os.environ.get(f"TEST_CONTENT_{assignment.rank}", "the content"))
        say_here(assignment, channel)
        if channel.next() is not None:
            with channel.entering():
                enter(assignment.rank)
        while channel.next() is not None:
            if os.environ.get("TEST_HANGS") == str(assignment.rank):
                time.sleep(600)
    except LookaheadError as error:
        sys.stderr.write(f"mlx-spec: {error}\n")
        return 2
    return 0


class Doorman:
    """Says that nobody is there, and why."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._lock = threading.Lock()
        self.says = ""
        self._is_open = False
        self._is_over = False
        self.gave_up = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Go home."""
        self._is_over = True
        self._thread.join()

    def open(self) -> None:
        """As a Doorman."""
        self._is_open = True

    def close(self) -> None:
        """As a Doorman: who knocks from now on comes to the leader."""
        with self._lock:
            self._is_open = False

    def give_up(self) -> None:
        """As a Doorman: noted."""
        self.gave_up += 1

    def _run(self) -> None:
        while not self._is_over:
            time.sleep(0.005)
            with self._lock, contextlib.suppress(TimeoutError):
                if not self._is_open:
                    continue
                self._listener.settimeout(0.02)
                client, _ = self._listener.accept()
                with client:
                    client.sendall(f"503 {self.says}\n".encode())


def commands(listener: socket.socket) -> Commands:
    """Of these stand-ins."""
    own = (sys.executable, "-m", "tests.hosts.stand_in")
    return Commands(
        leader=(*own, "leader"), follower=(*own, "follower"), listener=listener.fileno(), config={"pulse": PULSE}
    )


def supervise() -> int:
    """A supervisor of two ranks, as a process of its own. Tells its address, and the processes, on stdout."""
    listener = socket.create_server(("127.0.0.1", 0))
    os.set_inheritable(listener.fileno(), True)
    supervisor = Supervisor(read_hosts("127.0.0.1,127.0.0.1"), commands(listener), Doorman(listener), patience=PATIENCE)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    supervisor.run()
    return 0


if __name__ == "__main__":
    sys.exit({"leader": lead, "follower": follow, "supervisor": supervise}[sys.argv[1]]())
