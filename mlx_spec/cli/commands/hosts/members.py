"""Which machines are looked at, and how each of them is asked: as `mlx-spec serve` would start its ranks there."""

import socket
from collections.abc import Callable, Sequence
from functools import partial

from mlx_spec.errors import LookaheadError
from mlx_spec.hosts.finding.acquaintances import Acquaintance, Acquaintances
from mlx_spec.hosts.finding.checking import Member
from mlx_spec.hosts.finding.identity import own_identity
from mlx_spec.hosts.finding.joining import reach
from mlx_spec.hosts.finding.ways import OfferedWay, OwnWay, ProcessWay, Way, ssh_command
from mlx_spec.hosts.hostfile import Host, is_loopback
from mlx_spec.machine.program import own_command


def members_of(machines: Sequence[Host], python: str | None = None) -> list[Member]:
    """The machines of a list, rank by rank; the first is this one."""
    known = Acquaintances()
    members = [_member(one, known.named(one.name), python) for one in machines[1:]]
    own = machines[0]
    address = own.ips[0] if own.ips else _own_address(members)
    return [Member(own.name, address, OwnWay), *members]


def joined_members() -> list[Member]:
    """This machine and all that were joined. Raises LookaheadError where there is none."""
    others = [one for one in Acquaintances().all() if one.role == "follower"]
    if not others:
        raise LookaheadError(
            "No machine was joined yet: run `mlx-spec hosts offer` on another one and `mlx-spec hosts join` here, or"
            " name machines that ssh knows with --hosts."
        )
    members = [Member(one.name, one.address, _offered(one)) for one in others]
    return [Member(own_identity().name, _own_address(members), OwnWay), *members]


def _member(host: Host, known: Acquaintance | None, python: str | None) -> Member:
    if host.is_loopback:
        return Member(host.name, host.ips[0] if host.ips else host.name, partial(_child, host.name))
    if known is not None:
        return Member(host.name, host.ips[0] if host.ips else known.address, _offered(known))
    return Member(host.name, host.ips[0] if host.ips else _resolved(host.name), partial(_over_ssh, host, python))


def _offered(known: Acquaintance) -> Callable[[], Way]:
    return lambda: OfferedWay(reach(known))


def _child(name: str) -> Way:
    return ProcessWay(name, own_command("hosts", "answer"))


def _over_ssh(host: Host, python: str | None) -> Way:
    interpreter = host.python or python
    program = [interpreter, "-m", "mlx_spec.cli"] if interpreter else ["mlx-spec"]
    return ProcessWay(host.name, ssh_command(host.name, [*program, "hosts", "answer"]))


def _resolved(name: str) -> str:
    """The address of a name, as this machine finds it; empty for one that only ssh knows."""
    try:
        found = socket.getaddrinfo(name.rpartition("@")[2], None, type=socket.SOCK_STREAM)
    except OSError:
        return ""
    addresses = [str(one[4][0]) for one in sorted(found, key=lambda one: one[0] != socket.AF_INET)]
    return addresses[0] if addresses else ""


def _own_address(members: Sequence[Member]) -> str:
    """This machine's, as the first of the others that has one would see it."""
    for one in members:
        if one.address:
            if is_loopback(one.address):
                return one.address
            family = socket.AF_INET6 if ":" in one.address else socket.AF_INET
            try:
                with socket.socket(family, socket.SOCK_DGRAM) as probe:
                    probe.connect((one.address, 9))  # nothing is sent: it asks the routes
                    return str(probe.getsockname()[0])
            except OSError:
                continue
    return ""
