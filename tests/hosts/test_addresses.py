"""Which names mean this machine."""

import socket

import pytest

from mlx_spec.errors import ServerError
from mlx_spec.hosts.addresses import check_first_is_here, free_ports, is_here, leader_address, own_addresses
from mlx_spec.hosts.hostfile import Host

ELSEWHERE = Host("192.0.2.7", ("192.0.2.7",))  # of a net that is only for examples


def test_this_machine_by_its_names_and_addresses() -> None:
    own = [Host("127.0.0.1"), Host("localhost"), Host(socket.gethostname()), Host("x", ("127.0.0.1",))]
    assert all(is_here(host) for host in own)
    assert all(is_here(Host("mac", (address,))) for address in own_addresses())


def test_another_one_and_one_that_nobody_knows() -> None:
    assert not is_here(ELSEWHERE)
    assert not is_here(Host("no-such-machine.invalid"))


def test_the_first_must_be_here() -> None:
    check_first_is_here([Host("localhost"), ELSEWHERE])
    with pytest.raises(ServerError, match=r"192\.0\.2\.7, is not this machine, .*: put localhost first"):
        check_first_is_here([ELSEWHERE, Host("localhost")])


def test_followers_here_reach_the_leader_by_loopback() -> None:
    assert leader_address([Host("localhost"), Host("localhost")]) == "127.0.0.1"


def test_what_the_hostfile_says_goes_first() -> None:
    assert leader_address([Host("me", ("10.1.1.1",)), ELSEWHERE]) == "10.1.1.1"


def test_nobody_elsewhere_is_sent_to_a_loopback_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServerError, match="correct its name"):
        leader_address([Host("127.0.0.1", ("127.0.0.1",)), Host("no-such-machine.invalid")])


def test_a_free_port_can_be_bound() -> None:
    first, second = free_ports(["127.0.0.1", "127.0.0.1"])
    assert first != second
    with socket.create_server(("127.0.0.1", first)) as listener:
        assert listener.getsockname()[1] == first
