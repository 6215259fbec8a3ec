"""Hosts as a person writes them: what is taken, and what is refused with which words."""

import json
from pathlib import Path
from typing import Any

import pytest
from mlx._distributed_utils.common import Hostfile

from mlx_spec.errors import ServerError
from mlx_spec.hosts.hostfile import Host, HostList, read_hostfile, read_hosts

TWO = [{"ssh": "a.local", "ips": ["10.0.0.1"]}, {"ssh": "b.local", "ips": ["10.0.0.2"]}]
MESH = [
    {"ssh": "a", "ips": ["10.0.0.1"], "rdma": [None, "rdma_en2"]},
    {"ssh": "b", "ips": ["10.0.0.2"], "rdma": ["rdma_en2", None]},
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "hosts.json"


def written(file: Path, said: Any) -> Path:
    file.write_text(said if isinstance(said, str) else json.dumps(said))
    return file


def test_names_with_commas() -> None:
    hosts = read_hosts("127.0.0.1, big-mac.local,10.0.0.7")
    assert [host.name for host in hosts.machines] == ["127.0.0.1", "big-mac.local", "10.0.0.7"]
    assert [host.ips for host in hosts.machines] == [("127.0.0.1",), (), ("10.0.0.7",)]
    assert hosts.backend == "ring"


def test_loopback_may_come_several_times() -> None:
    assert len(read_hosts("127.0.0.1,127.0.0.1,localhost,::1")) == 4


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # of mlx's own reader
@pytest.mark.parametrize("said", [TWO, {"hosts": TWO}, {"backend": "ring", "envs": ["A=1"], "hosts": TWO}])
def test_a_file_is_read_as_mlx_launch_reads_it(file: Path, said: Any) -> None:
    hosts, theirs = read_hostfile(written(file, said)), Hostfile.from_file(file)
    assert [(one.name, list(one.ips)) for one in hosts.machines] == [(h.ssh_hostname, h.ips) for h in theirs.hosts]
    assert list(hosts.envs) == theirs.envs


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # of mlx's own reader
@pytest.mark.parametrize("said", [{"backend": "jaccl", "hosts": MESH}, {"hosts": TWO}])
def test_what_we_write_mlx_launch_reads(file: Path, said: Any) -> None:
    hosts = read_hostfile(written(file, said), python="/opt/python")
    theirs = Hostfile.from_file(written(file, hosts.to_json()))
    assert theirs.backend == hosts.backend
    assert [one.rdma for one in theirs.hosts] == [list(one.rdma) for one in hosts.machines]
    assert read_hostfile(file) == hosts


def test_interpreters_of_all_and_of_one(file: Path) -> None:
    said = {"python": "/a/python", "hosts": [TWO[0], TWO[1] | {"python": "/b/python"}]}
    hosts = read_hostfile(written(file, said))
    assert (hosts.python, hosts.machines[1].python) == ("/a/python", "/b/python")
    assert read_hostfile(file, python="/c/python").python == "/c/python"


@pytest.mark.parametrize(
    ("text", "backend", "message"),
    [
        ("a", None, "names 1 host: a group has at least two"),
        ("a,b,A", None, "names a twice"),
        ("a,,b", None, "empty name"),
        ("10.0.0.1,10.0.0.1", None, "names 10.0.0.1 twice"),
        ("a,-oProxyCommand=x", None, "which is no host"),
        ("a,b c", None, "which is no host"),
        ("a,b", "mpi", "no use for it"),
        ("a,b", "carrier-pigeon", "no such backend"),
        ("a,b", "jaccl", "needs the RDMA devices of each host"),
    ],
)
def test_what_is_refused(text: str, backend: str | None, message: str) -> None:
    with pytest.raises(ServerError, match=message):
        read_hosts(text, backend)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("{", "is not JSON"),
        ([TWO[0]], "names 1 host"),
        ([], "names 0 hosts"),
        ([*TWO, TWO[0]], "names a.local twice"),
        ([TWO[0], {"ssh": "b.local", "ips": ["10.0.0.1"]}], "names 10.0.0.1 twice"),
        ({"nothing": []}, "KeyError: 'hosts'"),
        ([{"ips": []}, TWO[0]], "KeyError: 'ssh'"),
        ([{"ssh": 7}, TWO[0]], "7 is no name"),
        ({"hosts": "a,b"}, "hosts is no list"),
        ({"hosts": TWO, "envs": ["1A=2"]}, "no variable"),
        ({"hosts": TWO, "envs": ["A=1\n2"]}, "sets A to more than one line"),
        ({"hosts": TWO, "backend": "x"}, "no such backend"),
        ({"backend": "jaccl", "hosts": [MESH[0], MESH[1] | {"rdma": [None, None]}]}, "no RDMA device from b to a"),
        ({"backend": "jaccl", "hosts": [MESH[0], MESH[1] | {"rdma": ["rdma_en2"]}]}, "needs the RDMA devices"),
    ],
)
def test_what_is_refused_of_a_file(file: Path, said: Any, message: str) -> None:
    with pytest.raises(ServerError, match=message):
        read_hostfile(written(file, said))


def test_no_such_file(file: Path) -> None:
    with pytest.raises(ServerError, match="cannot be read: No such file"):
        read_hostfile(file)


def test_a_ring_of_three_needs_its_neighbours_alone(file: Path) -> None:
    ends = [["a", "b", "c", "d"][i] for i in range(4)]
    rows = [[None if abs(i - j) in (0, 2) else f"rdma{j}" for j in range(4)] for i in range(4)]
    said = [{"ssh": name, "ips": [f"10.0.0.{i}"], "rdma": rows[i]} for i, name in enumerate(ends)]
    assert read_hostfile(written(file, said), "jaccl-ring").backend == "jaccl-ring"
    with pytest.raises(ServerError, match="no RDMA device from a to c"):
        read_hostfile(file, "jaccl")


def test_an_empty_list_is_a_value() -> None:
    assert HostList((Host("a"), Host("b"))).to_json()["hosts"][0] == {"ssh": "a", "ips": [], "rdma": []}
