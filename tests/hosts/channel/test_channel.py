"""The control channel over loopback: who is let in, what is told, and how an end is noticed."""

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from mlx_spec.errors import RankLostError, ServerError
from mlx_spec.hosts.channel.follower import LEFT_CODE, FollowerChannel
from mlx_spec.hosts.channel.framing import Framing
from mlx_spec.hosts.channel.handshake import HandshakeError, admit, enter
from mlx_spec.hosts.channel.hello import Hello
from mlx_spec.hosts.channel.leader import LeaderChannel
from mlx_spec.hosts.channel.link import Pulse
from mlx_spec.hosts.versions import Versions

SECRET = b"s" * 32
VERSIONS = Versions("0.32.4", "0.32.2", "0.1.0")
QUICK = Pulse(interval_s=0.05, silence_s=2.0)  # a pause of two busy cores is no loss
NEVER = Pulse(interval_s=0.05, silence_s=600.0)
HANGS_S = 60.0  # no measure of time: only so that what hangs is a failure


def hello(versions: Versions = VERSIONS) -> Callable[[str], Hello]:
    return lambda address: Hello(versions=versions, memory_bytes=8, free_bytes=4, address=address)


def until(condition: Callable[[], object]) -> None:
    """Wait for it, but not for ever."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < HANGS_S, "it did not happen"
        time.sleep(0.001)


class Group:
    """A leader, and followers in threads of this process."""

    def __init__(self, stack: ExitStack, hosts: int, pulse: Pulse) -> None:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.address = listener.getsockname()
        self.leader = LeaderChannel(listener, SECRET, [f"mac{i}" for i in range(hosts)], VERSIONS, pulse)
        self._stack, self._pulse = stack, pulse
        self.left: list[int] = []
        self.followers: dict[int, FollowerChannel] = {}
        stack.callback(self.leader.close)

    def join(self, rank: int, versions: Versions = VERSIONS) -> None:
        """Have a follower come, in a thread: it waits for the leader to let it in."""

        def run() -> None:
            channel = FollowerChannel.connect(
                self.address, SECRET, rank, hello(versions), self._pulse, grace_s=0.05, leave=self.left.append
            )
            self.followers[rank] = channel
            self._stack.callback(channel.close)

        thread = threading.Thread(target=run)
        thread.start()
        self._stack.callback(thread.join)

    def gathered(self) -> "Group":
        """With all followers in."""
        for rank in range(1, len(self.leader.hosts)):
            self.join(rank)
        self.leader.gather(HANGS_S)
        until(lambda: len(self.followers) == len(self.leader.hosts) - 1)
        return self

    def lost(self) -> RankLostError:
        """The rank that was lost."""
        error = self.leader.wait_lost(HANGS_S)
        assert error is not None
        return error


@contextmanager
def group(hosts: int = 2, pulse: Pulse = NEVER) -> Iterator[Group]:
    with ExitStack() as stack:
        yield Group(stack, hosts, pulse)


def stranger(address: tuple[str, int]) -> Framing:
    return Framing(socket.create_connection(address), send_limit_s=5)


def test_steps_come_to_all_in_order() -> None:
    with group(3) as made:
        made.gathered()
        steps = [{"do": "read", "ids": list(range(i))} for i in (1, 100_000, 0)]
        for step in steps:
            made.leader.tell(step)
        for rank in (1, 2):
            assert [made.followers[rank].next() for _ in steps] == steps
        made.leader.close()
        assert [made.followers[rank].next() for rank in (1, 2, 2)] == [None] * 3
        assert made.left == []  # nobody had to be left: they asked


def test_what_followers_say_is_waited_for() -> None:
    with group(3) as made:
        made.gathered()
        for rank, channel in made.followers.items():
            channel.say("model", content=f"hash {rank}")
        told = made.leader.said("model")
        assert {rank: words["content"] for rank, words in told.items()} == {1: "hash 1", 2: "hash 2"}


def test_beats_carry_facts_and_measure_the_way() -> None:
    with group() as made:
        made.gathered()
        made.followers[1].facts["held_bytes"] = 7
        until(lambda: made.leader.carried(1).get("held_bytes") == 7 and made.leader.latency_ms(1) is not None)
        assert made.leader.carried(1)["taken"] == 0


def test_another_version_is_named_and_refused() -> None:
    with group(3) as made:
        made.join(1)
        made.join(2, replace(VERSIONS, mlx="0.31.0"))
        with pytest.raises(ServerError, match=r"mac2 \(rank 2\) .* MLX 0.31.0 on mac2 and 0.32.4 here"):
            made.leader.gather(HANGS_S)
        until(lambda: 2 in made.followers)
        with pytest.raises(ServerError, match=r"MLX 0\.31\.0"):
            made.followers[2].next()


def test_one_that_cannot_go_on_says_why() -> None:
    with group() as made:
        made.gathered()
        made.followers[1].fail("There is no model here.")
        with pytest.raises(ServerError, match=r"^mac1 \(rank 1\): There is no model here\.$"):
            made.leader.said("model")
        assert (made.lost().rank, str(made.lost())) == (1, "mac1 (rank 1): There is no model here.")


def test_one_that_may_come_again_is_lost_and_not_refused() -> None:
    with group() as made:
        made.gathered()
        made.followers[1].fail("The port is taken.", again=True)
        with pytest.raises(RankLostError, match=r"^mac1 \(rank 1\): The port is taken\.$"):
            made.leader.said("model")


def test_who_does_not_come_is_named() -> None:
    with group(3) as made:
        made.join(1)
        with pytest.raises(RankLostError, match=r"mac2 \(rank 2\) did not come") as error:
            made.leader.gather(0.5)
        assert (error.value.rank, error.value.host) == (2, "mac2")


@pytest.mark.parametrize("secret", [b"", b"t" * 32])
def test_another_secret_opens_nothing(secret: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with group() as made:
        gathering = threading.Thread(target=made.leader.gather, args=(HANGS_S,))
        gathering.start()
        asking = stranger(made.address)
        with pytest.raises(HandshakeError, match="closed"):
            enter(asking, secret, 1, HANGS_S)
        asking.close()
        made.join(1)  # whose place is still free
        gathering.join()
    assert "does not know the group's secret" in caplog.text


def test_a_place_that_is_taken_is_not_given_again(caplog: pytest.LogCaptureFixture) -> None:
    with group(3) as made:
        gathering = threading.Thread(target=made.leader.gather, args=(HANGS_S,))
        gathering.start()
        made.join(1)
        until(lambda: 1 in made.followers)
        asking = stranger(made.address)
        enter(asking, SECRET, 1, HANGS_S)
        assert asking.receive(HANGS_S) is None
        asking.close()
        assert made.leader.lost is None
        made.join(2)
        gathering.join()
    assert "there is no place for rank 1" in caplog.text


def test_when_all_have_come_nobody_else_is_heard() -> None:
    with group() as made:
        made.gathered()
        with pytest.raises(ConnectionError):
            socket.create_connection(made.address)


@pytest.mark.parametrize("said", [{"said": "hello", "memory_bytes": "much"}, {"said": "hello", "versions": 3}])
def test_nonsense_ends_it_at_once(said: dict[str, Any]) -> None:
    with group() as made:  # no silence would be noticed in this test's life
        made.gathered()
        made.followers[1]._link.send(said)
        assert "mac1 (rank 1) talks nonsense" in str(made.lost())


class Recorded(Framing):
    """Keeps what was sent."""

    last: Mapping[str, Any] = {}

    def send(self, message: Mapping[str, Any]) -> None:
        """As Framing."""
        self.last = message
        super().send(message)


def test_what_was_said_in_one_handshake_opens_no_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as letting_in:
        follower = Recorded(socket.create_connection(listener.getsockname()), send_limit_s=5)
        leader = Framing(listener.accept()[0], send_limit_s=5)
        admitted = letting_in.submit(admit, leader, SECRET, HANGS_S)
        enter(follower, SECRET, 1, HANGS_S)
        assert admitted.result() == 1
        admitted = letting_in.submit(admit, leader, SECRET, HANGS_S)
        follower.receive(HANGS_S)
        follower.send(follower.last)
        with pytest.raises(HandshakeError, match="secret"):
            admitted.result()
        follower.close()
        leader.close()


def test_a_byte_now_and_then_keeps_nobody() -> None:
    with ExitStack() as stack:
        letting_in = stack.enter_context(ThreadPoolExecutor(1))
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        slow = stack.enter_context(socket.create_connection(listener.getsockname()))
        leader = Framing(listener.accept()[0], send_limit_s=5)
        admitted = letting_in.submit(admit, leader, SECRET, 0.2)
        begun = time.monotonic()
        slow.sendall(b"\0\0\4")  # the length of a message that never is whole
        while not admitted.done() and time.monotonic() - begun < 10:
            slow.sendall(b"\0")
            time.sleep(0.02)
        is_done = admitted.done()
        leader.close()
    assert is_done
    with pytest.raises(HandshakeError, match="within"):
        admitted.result()


def test_strangers_who_say_nothing_or_nonsense_hold_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with group() as made, socket.create_connection(made.address), socket.create_connection(made.address) as loud:
        loud.sendall(b"GET / HTTP/1.1\r\n\r\n")
        made.gathered()
        made.leader.tell({"do": "go on"})
        assert made.followers[1].next() == {"do": "go on"}


def test_a_connection_that_closes_is_noticed_at_once() -> None:
    with group(pulse=NEVER) as made:  # no silence would be noticed in this test's life
        made.gathered()
        told: list[RankLostError] = []
        made.leader.on_lost(told.append)
        made.followers[1].close()
        assert made.lost() is told[0]
        assert "mac1 (rank 1) closed the connection" in str(told[0])
        with pytest.raises(RankLostError):
            made.leader.tell({"do": "go on"})
        made.leader.on_lost(told.append)
        assert told == [made.leader.lost] * 2


def test_silence_is_noticed_on_both_sides() -> None:
    with group(pulse=QUICK) as made, ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        made.address, real = listener.getsockname(), made.address
        made.join(1)
        # A cable between the two, which is cut.
        near = stack.enter_context(listener.accept()[0])
        far = stack.enter_context(socket.create_connection(real))
        cut = threading.Event()
        carrying = threading.Thread(target=carry, args=(near, far, cut))
        carrying.start()
        made.leader.gather(HANGS_S)
        until(lambda: 1 in made.followers)
        cut.set()
        carrying.join()
        assert "said nothing for" in str(made.lost())
        assert made.followers[1].next() is None


def carry(near: socket.socket, far: socket.socket, cut: threading.Event) -> None:
    while not cut.is_set():
        for one in select.select([near, far], [], [], 0.02)[0]:
            (far if one is near else near).sendall(one.recv(65536))


def test_a_follower_that_hangs_is_left_when_the_leader_is_gone() -> None:
    with group() as made:
        made.gathered()
        made.leader.close()
        until(lambda: made.left)  # nobody asks for the next step: a collective hangs
        assert made.left == [LEFT_CODE]


def test_clocks_that_differ_matter_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with group() as made:
        made.gathered()
        for years in (-10, 10):
            monkeypatch.setattr("time.time", lambda years=years: years * 3.15e7)
            made.leader.tell({"do": "go on"})
            assert made.followers[1].next() == {"do": "go on"}
        assert made.leader.lost is None


def test_a_follower_without_a_leader_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address: Any = listener.getsockname()
    with pytest.raises(RankLostError, match="cannot be reached"):
        FollowerChannel.connect(address, SECRET, 1, hello(), limit_s=0.1, leave=os._exit)
