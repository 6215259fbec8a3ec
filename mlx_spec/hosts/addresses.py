"""Which of a group's names mean this machine, and where the others reach it."""

import contextlib
import socket
from collections.abc import Sequence

import psutil

from mlx_spec.errors import ServerError
from mlx_spec.hosts.finding.joined import joined
from mlx_spec.hosts.hostfile import Host, is_loopback


def is_here(host: Host) -> bool:
    """Whether a host is this machine: by loopback, by its own name, or by one of its addresses. A name that nobody
    knows is not."""
    if host.is_loopback:
        return True
    own_name = socket.gethostname().lower()
    if host.name.rpartition("@")[2].lower() in {
        own_name,
        own_name.partition(".")[0],
        f"{own_name.partition('.')[0]}.local",
    }:
        return True
    own = own_addresses()
    return any(ip in own for ip in (*host.ips, *resolved(host.name)))


def own_addresses() -> frozenset[str]:
    """All addresses of this machine."""
    kinds = (socket.AF_INET, socket.AF_INET6)
    found = (entry for entries in psutil.net_if_addrs().values() for entry in entries if entry.family in kinds)
    return frozenset(entry.address.partition("%")[0] for entry in found)


def resolved(name: str) -> tuple[str, ...]:
    """The addresses behind a name as ssh takes it, with a user's in front or not; none where nobody knows it."""
    try:
        entries = socket.getaddrinfo(name.rpartition("@")[2], None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in entries))


def leader_address(hosts: Sequence[Host]) -> str:
    """Where the followers reach this machine, which is the first of `hosts`: as the hostfile says, or else the address
    from which the first machine that is another one is reached. Raises ServerError where there is no way to that."""
    others = [host for host in hosts if not is_loopback(host.name) and not is_here(host)]
    first = hosts[0]
    if first.ips and not (is_loopback(first.ips[0]) and others):
        return first.ips[0]
    if not others:
        return "127.0.0.1"
    known = joined(others[0].name)
    ips = others[0].ips or ((known.address,) if known is not None else resolved(others[0].name))
    if not ips:
        raise ServerError(f"Nobody knows an address of {others[0].name}: correct its name, or give its address.")
    try:
        with socket.socket(_family(ips[0]), socket.SOCK_DGRAM) as probe:
            probe.connect((ips[0], 9))  # which sends nothing, and chooses a way
            return str(probe.getsockname()[0])
    except OSError as error:
        raise ServerError(f"There is no way from here to {others[0].name} ({ips[0]}): {error}.") from error


def check_first_is_here(hosts: Sequence[Host]) -> None:
    """Raise ServerError where the first host is another machine: rank 0, which answers, is started here."""
    if is_here(hosts[0]):
        return
    here = [host.name for host in hosts if is_here(host)]
    remedy = f"put {here[0]} first" if here else f"put {socket.gethostname()}, or 127.0.0.1, first"
    raise ServerError(f"The first host, {hosts[0].name}, is not this machine, on which the server answers: {remedy}.")


def free_ports(addresses: Sequence[str]) -> list[int]:
    """For each of some addresses of this machine a port that nobody listens on now, no two the same. Raises OSError."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket(_family(one), socket.SOCK_STREAM)) for one in addresses]
        for probe, address in zip(probes, addresses, strict=True):
            probe.bind((address, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
