"""One machine offers itself, another joins it: what each knows then, and what it does for whom."""

import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from mlx_spec.errors import LookaheadError
from mlx_spec.hosts.finding import working
from mlx_spec.hosts.finding.acquaintances import Acquaintance
from mlx_spec.hosts.finding.following import JoinedFollower
from mlx_spec.hosts.finding.joining import Place, RefusedError, call, join
from mlx_spec.hosts.finding.sealed import ChannelError, connect
from tests.hosts.finding.machines import HERE, Machine, Person, joined, known_to, offer

HANGS_S = 60.0  # no measure of time: only so that what hangs is a failure


@pytest.fixture
def leader(tmp_path: Path) -> Machine:
    return Machine("laptop", tmp_path / "leader")


@pytest.fixture
def follower(tmp_path: Path) -> Machine:
    return Machine("studio", tmp_path / "follower")


def until(done: Callable[[], object]) -> None:
    """Other threads have a moment for what they do behind the last word."""
    ends = time.monotonic() + HANGS_S
    while not done():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_both_see_one_code_and_know_each_other_then(leader: Machine, follower: Machine, tmp_path: Path) -> None:
    with offer(follower, person := Person()) as offered:
        assert joined(leader, follower, offered.port) == person.codes
        until(lambda: person.kinds() == ["joined"])
    assert known_to(leader, follower).name == "studio"
    assert follower.known.of(leader.identity.key, "leader") is not None
    for folder in ("leader", "follower"):
        assert stat.S_IMODE((tmp_path / folder / "known.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_where_either_person_says_no_neither_knows_the_other(leader: Machine, follower: Machine, who: str) -> None:
    with offer(follower, person := Person("no" if who == "follower" else "yes")) as offered:
        place = Place("studio", HERE, offered.port)
        with pytest.raises(RefusedError, match="said no" if who == "follower" else "may stand between"):
            join(place, lambda *_: who != "leader", identity=leader.identity, known=leader.known)
        until(lambda: person.kinds() == ["refused"])
    assert leader.known.all() == follower.known.all() == ()


def test_nobody_unknown_is_worked_for(leader: Machine, follower: Machine) -> None:
    with offer(follower, Person()) as offered:
        stranger = Acquaintance(follower.identity.key.hex(), "studio", "follower", HERE, offered.port)
        with pytest.raises(RefusedError, match="hosts join"):
            call(stranger, identity=leader.identity, seek_s=0)
        # Nor does it matter what he says next.
        with connect(HERE, offered.port, leader.identity, "work") as channel:
            channel.tell({"ask": "facts"})
            assert "refused" in channel.hear(5)
            with pytest.raises(ChannelError):
                channel.hear(5)


def test_one_that_is_forgotten_or_refused_is_not_worked_for_any_more(leader: Machine, follower: Machine) -> None:
    with offer(follower, person := Person()) as offered:
        joined(leader, follower, offered.port)
        until(person.told.is_set)
        with call(known_to(leader, follower), identity=leader.identity) as channel:
            channel.tell({"ask": "facts"})
            assert channel.hear(5)["total_bytes"] > 0
            assert [one.name for one in follower.known.forget("LAPTOP.local")] == ["laptop"]
            channel.tell({"ask": "facts"})
            with pytest.raises(ChannelError):
                channel.hear(5)
        with pytest.raises(RefusedError):
            call(known_to(leader, follower), identity=leader.identity, seek_s=0)
        follower.known.keep(Acquaintance(leader.identity.key.hex(), "laptop", "refused"))
        with pytest.raises(RefusedError, match="not want to be asked"):
            joined(leader, follower, offered.port)
        assert len(person.codes) == 1  # nobody is disturbed by one that was refused


def test_a_no_for_good_is_kept_and_nobody_is_asked_again_until_it_is_forgotten(
    leader: Machine, follower: Machine
) -> None:
    with offer(follower, person := Person("never")) as offered:
        with pytest.raises(RefusedError, match="said no"):
            joined(leader, follower, offered.port)
        until(lambda: person.kinds() == ["refused"])
        with pytest.raises(RefusedError, match="not want to be asked"):
            joined(leader, follower, offered.port)
        assert len(person.codes) == 1
        follower.known.forget("laptop")
        person.says = "yes"
        joined(leader, follower, offered.port)
        assert len(person.codes) == 2


def test_one_that_is_forgotten_while_it_is_found_elsewhere_stays_forgotten(leader: Machine) -> None:
    one = Acquaintance("ab" * 32, "attic", "follower", HERE, 9)
    for other in (one, replace(one, role="leader"), replace(one, key="cd" * 32, name="cellar")):
        leader.known.keep(other)
    leader.known.met(one, "192.0.2.7", 10)
    assert [other.port for other in leader.known.all()] == [10, 9, 9]
    leader.known.forget("attic")
    leader.known.met(one, "192.0.2.7", 11)
    assert [(other.name, other.port) for other in leader.known.all()] == [("cellar", 9)]


def test_another_machine_at_the_same_address_is_noticed(leader: Machine, follower: Machine, tmp_path: Path) -> None:
    with offer(follower, person := Person()) as offered:
        joined(leader, follower, offered.port)
        until(person.told.is_set)
    other = Machine("studio", tmp_path / "other")
    with offer(other, Person()) as offered:
        moved = replace(known_to(leader, follower), port=offered.port)
        with pytest.raises(ChannelError, match="Another machine than studio"):
            call(moved, identity=leader.identity, seek_s=0)


class TestFollowers:
    @pytest.fixture
    def session(self, leader: Machine, follower: Machine, monkeypatch: pytest.MonkeyPatch) -> object:
        """A program in the follower's place: it echoes, and tells what it was given."""
        script = (
            "import os, sys; print(sys.argv[1:], os.environ['MLX_RANK'], os.getpid(), flush=True)\n"
            "for line in sys.stdin: print('heard', line.strip(), flush=True)"
        )
        monkeypatch.setattr(working, "own_command", lambda *words: [sys.executable, "-c", script, *words])
        with offer(follower, person := Person()) as offered:
            joined(leader, follower, offered.port)
            until(person.told.is_set)
            with call(known_to(leader, follower), identity=leader.identity) as channel:
                yield channel, person

    def test_it_runs_hears_and_says_and_ends_when_told(self, session: tuple) -> None:
        channel, person = session
        process = JoinedFollower(channel, ["--rank", "1"], {"MLX_RANK": "1"})
        lines = process.lines()
        words = " ".join(f"'{one}'," for one in (*working.FOLLOWER_COMMAND, "--rank")) + " '1'"
        assert next(lines).startswith(f"[{words}] 1 ")
        process.write("second\n")
        assert next(lines) == "heard second"
        assert process.returncode is None
        process.stop()
        assert process.wait(10) == 0  # at the end of its input
        until(lambda: person.kinds()[1:] == ["working", "idle"])
        assert "laptop uses this machine now." in dict(person.lines)["working"]

    def test_it_does_not_outlive_the_connection(self, session: tuple) -> None:
        channel, person = session
        process = JoinedFollower(channel, [], {"MLX_RANK": "1"})
        pid = int(next(process.lines()).split()[-1])
        assert psutil.pid_exists(pid)
        channel.close()
        until(lambda: "idle" in person.kinds())
        assert not psutil.pid_exists(pid)
        assert process.wait(5) == -1

    def test_it_ends_when_its_leader_is_forgotten(self, session: tuple, follower: Machine) -> None:
        channel, person = session
        process = JoinedFollower(channel, [], {"MLX_RANK": "1"})
        pid = int(next(process.lines()).split()[-1])
        follower.known.forget("laptop")
        until(lambda: "idle" in person.kinds())
        assert not psutil.pid_exists(pid)
        assert process.wait(HANGS_S) == -1

    def test_one_that_reads_nothing_is_ended_as_well(
        self, session: tuple, follower: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever has more to say to it than a pipe holds must not keep its end from being heard."""
        monkeypatch.setattr(working, "_LEASH_S", 0.05)
        script = "import os, threading; print(os.getpid(), flush=True); threading.Event().wait()"
        monkeypatch.setattr(working, "own_command", lambda *words: [sys.executable, "-S", "-c", script])
        channel, person = session
        process = JoinedFollower(channel)
        pid = int(next(process.lines()))
        for _ in range(4):
            channel.tell({"input": "x" * (1 << 18)})
        follower.known.forget("laptop")
        until(lambda: "idle" in person.kinds())
        assert not psutil.pid_exists(pid)

    @pytest.mark.parametrize(
        ("arguments", "environment", "words"),
        [
            (["models", "rm", "x"], {}, "only a follower"),
            ([], {}, "only a follower"),
            ("hosts follow", {}, "list of texts"),
            ([*working.FOLLOWER_COMMAND], {"PYTHONPATH": "/tmp"}, "'PYTHONPATH' may not"),
        ],
    )
    def test_nothing_else_is_run(self, session: tuple, arguments: object, environment: dict, words: str) -> None:
        channel, person = session
        channel.tell({"ask": "follow", "arguments": arguments, "environment": environment})
        assert words in channel.hear(5)["problem"]
        until(lambda: person.kinds()[-1] == "failed")


def test_a_port_in_use_is_told(follower: Machine) -> None:
    with offer(follower, Person()) as offered:
        from mlx_spec.hosts.finding.offering import Offer

        with pytest.raises(LookaheadError, match=f"Port {offered.port} cannot be listened on"):
            Offer(Person(), address=HERE, port=offered.port, identity=follower.identity, known=follower.known)


def test_what_does_not_end_with_its_input_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "_LEASH_S", 0.05)
    process = subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE, text=True, start_new_session=True)
    working.end(process)
    assert process.returncode == -signal.SIGKILL
