"""What a machine says of itself on the network, and what others make of that."""

import errno
import socket
from pathlib import Path

import pytest
from zeroconf import ServiceInfo

from mlx_spec.errors import LookaheadError
from mlx_spec.hosts.finding import announcing
from mlx_spec.hosts.finding.announcing import SERVICE, Announcement, Lookout, found_host, reachable_addresses
from mlx_spec.hosts.finding.facts import own_facts
from mlx_spec.hosts.finding.identity import fingerprint, own_identity, shown_name
from tests.hosts.finding.machines import HERE


def test_one_that_offers_itself_is_found_and_gone_again() -> None:
    if not carries_multicast():
        pytest.skip("loopback carries no multicast here, which Bonjour goes by")
    identity, facts = own_identity(), own_facts()
    with Lookout(interfaces=[HERE]) as lookout:
        with Announcement(identity, facts, 4321, interfaces=[HERE]):
            found = lookout.wait_for(lambda host: host.fingerprint == fingerprint(identity.key), 10)
            assert found is not None
            assert (found.name, found.port, found.addresses) == (identity.name, 4321, (HERE,))
            assert (found.total_bytes, found.lookahead) == (facts.total_bytes, facts.lookahead)
        assert lookout.wait_for(lambda host: False, 0) is None
        for _ in range(200):
            if not lookout.hosts:
                break
            lookout.wait_for(lambda host: False, 0.05)
        assert lookout.hosts == ()


def test_a_key_that_finds_no_room_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mlx_spec.hosts.finding.identity.write_private", full)
    with pytest.raises(LookaheadError, match=r"cannot be written to .*identity\.key \(no space left on device\)"):
        own_identity()


def carries_multicast() -> bool:
    """Whether a datagram to Bonjour's group comes back over loopback, on a port of its own."""
    here, group = socket.inet_aton(HERE), "224.0.0.251"
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hears,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as says,
    ):
        try:
            hears.bind(("", 0))
            hears.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + here)
            hears.settimeout(5.0)
            says.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, here)
            says.sendto(b"heard", (group, hears.getsockname()[1]))
            return hears.recv(16) == b"heard"
        except OSError:
            return False


def info(**changed: str) -> ServiceInfo:
    said = {"v": "1", "name": "studio", "key": "ab" * 8, "memory": "1024"} | changed
    name = f"studio.{SERVICE}"
    return ServiceInfo(SERVICE, name, port=1, parsed_addresses=["fe80::1", "192.0.2.7"], properties=said)


def test_what_others_write_is_shown_as_one_short_line() -> None:
    found = found_host(info(name="studio\x1b[31m\nnext" + "x" * 200, memory="-5", chip=""))
    assert found is not None
    assert found.name.startswith("studio [31m next")
    assert len(found.name) == 64
    assert (found.total_bytes, found.chip) == (0, "")
    assert found.addresses == ("192.0.2.7", "fe80::1")  # IPv4 first, as the ring has it
    assert shown_name("\n") == "unnamed"


def test_what_is_of_another_version_or_shows_no_key_is_none_of_ours() -> None:
    assert found_host(info(v="2")) is None
    assert found_host(info(key="")) is None


def test_no_network_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(**_: object) -> None:
        raise OSError(19, "No such device")

    monkeypatch.setattr(announcing, "Zeroconf", none)
    with pytest.raises(LookaheadError, match=r"no such device.*give the machine's address"), Lookout():
        pass


def test_addresses_of_this_machine_leave_out_what_nobody_else_reaches() -> None:
    assert HERE not in reachable_addresses()
    assert "::1" not in reachable_addresses()
