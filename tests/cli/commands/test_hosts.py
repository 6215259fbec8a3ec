"""`mlx-spec hosts`, as a person and as the window use it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlx_spec.cli.commands.hosts.join import split_port
from mlx_spec.cli.commands.hosts.screens import is_confirmed, is_never, is_yes
from mlx_spec.errors import ConfigError
from mlx_spec.hosts.finding.acquaintances import Acquaintance, Acquaintances
from tests.cli.calling import mlx_spec
from tests.hosts.finding.machines import Machine, Person, offer


class Running:
    """`mlx-spec hosts …` in a process and a data folder of its own."""

    def __init__(self, home: Path, *words: str) -> None:
        home.mkdir(exist_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlx_spec.cli", "hosts", *words],
            env=os.environ | {"LOOKAHEAD_HOME": str(home), "LOOKAHEAD_BLAS": "off"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def hear(self) -> dict:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def say(self, value: dict) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value) + "\n")
        self._process.stdin.flush()

    def end(self) -> int:
        self._process.communicate(timeout=20)
        return self._process.returncode


def test_two_machines_join_by_lines_of_json(tmp_path: Path) -> None:
    offered = Running(tmp_path / "studio", "offer", "--json", "--hidden", "--port", "0")
    port = offered.hear()["port"]
    asking = Running(tmp_path / "laptop", "join", f"127.0.0.1:{port}", "--json")
    code, asked = asking.hear(), offered.hear()
    assert (code["event"], asked["event"]) == ("code", "asked")
    assert code["code"] == asked["code"]
    for one in (asking, offered):
        one.say({"confirmed": True})
    assert asking.hear()["event"] == "joined"
    assert offered.hear()["event"] == "joined"
    assert asking.end() == 0
    assert offered.end() == 0  # with who reads it
    assert [one.role for one in Acquaintances(tmp_path / "laptop/hosts/known.json").all()] == ["follower"]
    assert [one.role for one in Acquaintances(tmp_path / "studio/hosts/known.json").all()] == ["leader"]


def test_what_was_typed_before_the_code_showed_confirms_nothing(tmp_path: Path) -> None:
    studio = Machine("studio", tmp_path / "studio")
    with offer(studio, Person()) as offered:
        done = mlx_spec("hosts", "join", f"127.0.0.1:{offered.port}", stdin="y\n")
    assert "The code is" in done.stdout
    assert "studio was not joined" in done.stderr
    assert Acquaintances().all() == studio.known.all() == ()


def test_a_look_at_this_machine_twice_over_finds_nothing_in_the_way() -> None:
    done = mlx_spec("hosts", "check", "--hosts", "127.0.0.1,127.0.0.1", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert [one["facts"]["total_bytes"] > 0 for one in told["hosts"]] == [True, True]
    assert told["slowest"]["round_trip_ms"] > 0
    assert told["problems"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("check",), "No machine was joined yet"),
        (("check", "--hosts", "a,b", "--hostfile", "f"), "left out beside --hosts"),
        (("check", "--hosts", "127.0.0.1,127.0.0.1", "--backend", "mpi"), "backend 'mpi' cannot be used"),
        (("check", "--hostfile", "/nowhere.json"), "/nowhere.json cannot be read"),
        (("join", "127.0.0.1:9"), "Nobody answers at 127.0.0.1 port 9"),
        (("join", "studio:0"), "a number from 1 to 65535"),
        (("forget", "studio"), "`mlx-spec hosts list` shows"),
        (("carry", "studio"), "one that was joined"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_that_says_what_to_do(words: tuple[str, ...], said: str) -> None:
    done = mlx_spec("hosts", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_of_two_machines_of_one_name_the_fingerprint_is_asked_for_and_forgets_one() -> None:
    known = Acquaintances()
    for byte in ("ab", "cd"):
        known.keep(Acquaintance(byte * 32, "studio", "follower"))
    one, other = known.all()
    done = mlx_spec("hosts", "carry", "studio")
    assert f"{one.fingerprint} or {other.fingerprint}" in done.stderr
    assert mlx_spec("hosts", "forget", one.fingerprint).returncode == 0
    assert known.all() == (other,)


def test_only_a_yes_or_the_very_code_is_a_yes() -> None:
    assert [is_yes(said, "012345") for said in ("y", "Yes", "012345", "012 345")] == [True] * 4
    assert [is_yes(said, "012345") for said in (None, "", "n", "12345", "543210")] == [False] * 5
    said = ('{"confirmed": true}', '{"confirmed": 1}', "yes", None)
    assert [is_confirmed(one) for one in said] == [True, False, False, False]
    assert [is_never(one) for one in ('{"never": true}', '{"confirmed": false}', None)] == [True, False, False]


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [
        ("studio", "studio", None),
        ("studio:81", "studio", 81),
        ("[fd00::1]:81", "fd00::1", 81),
        ("fd00::1", "fd00::1", None),
    ],
)
def test_an_address_may_have_a_port(written: str, host: str, port: int | None) -> None:
    assert split_port(written) == (host, port)


def test_a_port_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="port is '99999'"):
        split_port("studio:99999")
