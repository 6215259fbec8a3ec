"""Strangers who say nothing, or little by little, take nothing from those who are known."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from mlx_spec.hosts.finding import offering, streaming
from mlx_spec.hosts.finding.joining import RefusedError, call
from mlx_spec.hosts.finding.seats import MOST_GREETING, Seats
from mlx_spec.hosts.finding.streaming import Stream
from tests.hosts.finding.machines import HERE, Machine, Person, joined, known_to, offer

HANGS_S = 60.0


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection."""
    with socket.create_server((HERE, 0)) as listener, socket.create_connection(listener.getsockname()) as one:
        other, _ = listener.accept()
        with other:
            one.settimeout(HANGS_S)
            yield one, other


def test_more_strangers_than_there_are_seats_do_not_shut_an_offer(tmp_path: Path) -> None:
    leader, follower = Machine("laptop", tmp_path / "leader"), Machine("studio", tmp_path / "follower")
    with offer(follower, person := Person()) as offered, ExitStack() as strangers:
        silent = [
            strangers.enter_context(socket.create_connection((HERE, offered.port))) for _ in range(MOST_GREETING + 4)
        ]
        joined(leader, follower, offered.port)
        assert person.told.wait(HANGS_S)
        with call(known_to(leader, follower), identity=leader.identity, seek_s=0) as channel:
            channel.tell({"ask": "facts"})
            assert channel.hear(HANGS_S)["total_bytes"] > 0
        silent[0].settimeout(HANGS_S)
        assert silent[0].recv(1) == b""  # who came first has had his time


def test_known_ones_have_seats_of_their_own_and_are_told_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offering, "Seats", partial(Seats, most_known=1))
    leader, follower = Machine("laptop", tmp_path / "leader"), Machine("studio", tmp_path / "follower")
    with offer(follower, person := Person()) as offered:
        joined(leader, follower, offered.port)
        assert person.told.wait(HANGS_S)
        one = known_to(leader, follower)
        with call(one, identity=leader.identity, seek_s=0), pytest.raises(RefusedError, match="too many at once"):
            call(one, identity=leader.identity, seek_s=0)


def test_of_a_crowd_from_one_address_that_one_gives_way() -> None:
    seats = Seats(most_greeting=3)
    with ExitStack() as stack:
        ends = []
        for address in ("10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.2"):
            here, there = socket.socketpair()
            there.settimeout(HANGS_S)
            ends += [stack.enter_context(there)]
            seats.greet(stack.enter_context(here), address)
        assert ends[1].recv(1) == b""
        for end in (ends[0], ends[2], ends[3]):
            end.setblocking(False)
            with pytest.raises(BlockingIOError):
                end.recv(1)


def test_what_comes_little_by_little_does_not_renew_the_time(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = pair
    one.sendall(b"a")
    one.shutdown(socket.SHUT_WR)  # so that nobody waits where the time is not looked at
    now_s = iter([0.0, 9.0, 18.0])
    monkeypatch.setattr(streaming.time, "monotonic", lambda: next(now_s))
    with pytest.raises(TimeoutError):
        Stream(other, 10.0).take(2, until_s=9.5 - 1.0)


def test_waiting_to_hear_changes_nothing_for_who_tells_and_who_is_cut_off_is_noticed(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    one, other = pair
    stream = Stream(other, 10.0)
    one.sendall(b"a")
    assert stream.take(1, streaming.time.monotonic() + HANGS_S) == b"a"
    assert other.gettimeout() is None
    assert other.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16) == streaming._limit(10.0)
    assert other.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0


def test_one_who_takes_nothing_is_gone(pair: tuple[socket.socket, socket.socket]) -> None:
    stream = Stream(pair[1], 0.05)
    with pytest.raises(TimeoutError, match=r"took nothing for 0\.05 s"):
        stream.give(bytes(1 << 26))
