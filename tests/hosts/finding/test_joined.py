"""A machine that was joined, in the place of one that ssh goes to."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlx_spec.cli.commands.hosts.members import members_of
from mlx_spec.errors import ServerError
from mlx_spec.hosts.addresses import leader_address
from mlx_spec.hosts.finding import identity, working
from mlx_spec.hosts.finding.acquaintances import Acquaintance, Acquaintances
from mlx_spec.hosts.finding.identity import own_identity
from mlx_spec.hosts.finding.joined import follower_command, joined, why_not_reached
from mlx_spec.hosts.formation import Formation
from mlx_spec.hosts.hostfile import Host, HostList
from mlx_spec.hosts.started import USUAL_PATIENCE, Commands
from mlx_spec.hosts.starting import reach
from mlx_spec.machine.program import own_command
from tests.cli.calling import mlx_spec
from tests.hosts.finding.machines import HERE, Machine, Person, offer
from tests.hosts.finding.machines import joined as join_there

HANGS_S = 60.0
SCRIPT = """
import os, sys
print("follower has", os.environ.get("MLX_A"), flush=True)
for line in sys.stdin:
    print("follower heard", line.strip(), flush=True)
    if line.strip() == "end":
        sys.exit(7)
"""


@pytest.fixture
def leader(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """This machine: with the identity and the acquaintances that commands use."""
    machine = object.__new__(Machine)
    machine.identity, machine.known = own_identity(), Acquaintances()
    return machine


@pytest.fixture
def studio(leader: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    """A machine that offers itself, and was joined by this one; what it runs is the script."""
    monkeypatch.setattr(working, "own_command", lambda *words: [sys.executable, "-S", "-c", SCRIPT])
    machine = Machine("studio", tmp_path / "studio")
    with offer(machine, person := Person()) as offered:
        join_there(leader, machine, offered.port)
        assert person.told.wait(10)
        yield person


def test_it_is_asked_where_it_offers_itself_and_not_by_ssh(studio: Person) -> None:
    assert reach("studio") is None
    assert reach("STUDIO.local") is None


def test_one_that_is_away_is_missing_with_what_to_do() -> None:
    away = Acquaintance("ab" * 32, "attic", "follower", HERE, 9)
    Acquaintances().keep(away)
    why = why_not_reached(away, seek_s=0)
    assert why is not None
    assert why.startswith("Nobody answers at 127.0.0.1 port 9")
    assert not why.endswith(".")


def test_a_rank_there_is_started_by_the_command_that_carries_it() -> None:
    known = Acquaintance("ab" * 32, "attic", "follower", "127.0.0.1", 9)
    Acquaintances().keep(known)
    assert joined("attic") == Acquaintances().all()[0]
    hosts = HostList((Host(HERE), Host("attic")))
    formation = Formation(hosts, Commands(leader=("a",), follower=("b", "c"), listener=0), USUAL_PATIENCE)
    command = formation._follower_command(hosts.machines[1])
    assert command == follower_command(known)
    assert command[-3:] == ("hosts", "carry", known.fingerprint)
    assert leader_address(hosts.machines) == HERE


def test_two_of_one_name_are_left_to_ssh() -> None:
    for byte in ("ab", "cd"):
        Acquaintances().keep(Acquaintance(byte * 32, "attic", "follower"))
    assert joined("attic") is None


def test_what_is_carried_hears_says_and_ends_as_if_it_were_here(studio: Person) -> None:
    done = mlx_spec("hosts", "carry", "studio", stdin="first\nend\n")
    assert done.stdout.splitlines() == ["follower has None", "follower heard first", "follower heard end"]
    assert done.returncode == 7
    ends = time.monotonic() + 10
    while "idle" not in studio.kinds():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_its_environment_comes_with_its_input(studio: Person) -> None:
    done = mlx_spec("hosts", "carry", "--environment", "studio", stdin="MLX_A=b c=d\n\nend\n")
    assert done.stdout.splitlines() == ["follower has b c=d", "follower heard end"]


def test_it_ends_when_its_machine_is_forgotten_here(studio: Person) -> None:
    words = own_command("hosts", "carry", "studio")
    with subprocess.Popen(words, stdin=-1, stdout=-1, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        limit = threading.Timer(HANGS_S, process.kill)
        limit.start()
        assert process.stdout.readline() == "follower has None\n"
        assert Acquaintances().forget("studio")[0].name == "studio"
        assert process.stdout.read() == "studio was forgotten here, and works for this machine no longer.\n"
        assert process.wait() == 255
        limit.cancel()


def test_it_is_told_when_the_other_machine_hangs_up(leader: Machine, studio: Person, tmp_path: Path) -> None:
    words = own_command("hosts", "carry", "studio")
    with subprocess.Popen(words, stdin=-1, stdout=-1, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        limit = threading.Timer(HANGS_S, process.kill)
        limit.start()
        assert process.stdout.readline() == "follower has None\n"
        theirs = Acquaintances(tmp_path / "studio/known.json")
        assert [one.role for one in theirs.forget(leader.identity.name)] == ["leader"]
        assert process.stdout.read().startswith("studio hung up: look whether it still offers itself")
        assert process.wait() == 255
        limit.cancel()


def test_what_one_that_was_joined_takes_from_nobody_is_refused_in_a_sentence() -> None:
    known = Acquaintance("ab" * 32, "attic", "follower", "127.0.0.1", 9)
    Acquaintances().keep(known)
    hosts = HostList((Host(HERE), Host("attic")))

    def command(hosts: HostList) -> tuple[str, ...]:
        commands = Commands(leader=("a",), follower=("b", "c"), listener=0)
        return Formation(hosts, commands, USUAL_PATIENCE)._follower_command(hosts.machines[1])

    assert command(replace(hosts, envs=("MLX_A=hush",)))[-2:] == ("--environment", known.fingerprint)
    with pytest.raises(ServerError, match="attic was joined, and lets nobody set HF_HOME there"):
        command(replace(hosts, envs=("MLX_A=1", "HF_HOME=/x")))
    for given in (replace(hosts, python="/p"), HostList((Host(HERE), Host("attic", python="/p")))):
        with pytest.raises(ServerError, match="attic was joined, and starts its own Lookahead, not /p"):
            command(given)
        with pytest.raises(ServerError, match="attic was joined"):
            members_of(given)


def test_of_one_that_ssh_starts_no_variable_stands_on_the_command_line() -> None:
    hosts = HostList((Host(HERE), Host("cellar")), envs=("TOKEN=hush",))
    formation = Formation(hosts, Commands(leader=("a",), follower=("b", "c"), listener=0), USUAL_PATIENCE)
    command = formation._follower_command(hosts.machines[1])
    assert command[0] == "ssh"
    assert "read -r line" in command[-1]
    assert "hush" not in " ".join(command)
    assert "TOKEN" not in " ".join(command)


def test_a_key_that_is_damaged_is_told(lookahead_home: Path) -> None:
    own_identity()
    (lookahead_home / "hosts/identity.key").write_bytes(b"short")
    with pytest.raises(identity.StorageError, match="is damaged"):
        own_identity()
