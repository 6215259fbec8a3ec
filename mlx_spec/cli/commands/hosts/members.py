"""Which machines are looked at, and how each of them is asked: as `mlx-spec serve` would start its ranks there."""

import os
from collections.abc import Callable, Sequence
from functools import partial

from mlx_spec.errors import LookaheadError, ServerError
from mlx_spec.hosts.addresses import check_first_is_here, is_here, leader_address, resolved
from mlx_spec.hosts.finding.acquaintances import Acquaintance, Acquaintances
from mlx_spec.hosts.finding.checking import Member
from mlx_spec.hosts.finding.identity import own_identity
from mlx_spec.hosts.finding.joined import check_given
from mlx_spec.hosts.finding.joining import call
from mlx_spec.hosts.finding.ways import OfferedWay, OwnWay, ProcessWay, Way
from mlx_spec.hosts.hostfile import Host, HostList
from mlx_spec.hosts.starting import remote_script, ssh_command
from mlx_spec.machine.program import own_command


def members_of(hosts: HostList) -> list[Member]:
    """The machines of a list, rank by rank. Raises ServerError where the first is not this one, or one is given what it
    does not take."""
    machines = hosts.machines
    check_first_is_here(machines)
    known = Acquaintances()
    members = [_member(one, known.named(one.name), hosts) for one in machines[1:]]
    return [Member(machines[0].name, _own_address(machines[0], members), OwnWay), *members]


def joined_members() -> list[Member]:
    """This machine and all that were joined. Raises LookaheadError where there is none."""
    others = [one for one in Acquaintances().all() if one.role == "follower"]
    if not others:
        raise LookaheadError(
            "No machine was joined yet: run `mlx-spec hosts offer` on another one and `mlx-spec hosts join` here, or"
            " name machines that ssh knows with --hosts."
        )
    members = [Member(one.name, one.address, _offered(one)) for one in others]
    own = Host(own_identity().name)
    return [Member(own.name, _own_address(own, members), OwnWay), *members]


def _member(host: Host, known: Acquaintance | None, hosts: HostList) -> Member:
    python = host.python or hosts.python
    if is_here(host):
        return Member(host.name, host.ips[0] if host.ips else host.name, partial(_child, host.name))
    if known is not None:
        check_given(known, python, hosts.envs)
        return Member(host.name, host.ips[0] if host.ips else known.address, _offered(known))
    return Member(
        host.name, next(iter(host.ips or resolved(host.name.rpartition("@")[2])), ""), partial(_over_ssh, host, python)
    )


def _offered(known: Acquaintance) -> Callable[[], Way]:
    return lambda: OfferedWay(call(known))


def _child(name: str) -> Way:
    return ProcessWay(name, own_command("hosts", "answer"))


def _over_ssh(host: Host, python: str | None) -> Way:
    script = remote_script(own_command("hosts", "answer"), host=host.name, python=python, folder=os.getcwd())
    return ProcessWay(host.name, ssh_command(host.name, script))


def _own_address(own: Host, members: Sequence[Member]) -> str:
    """Where the others reach this machine; empty where there is no way to any of them."""
    others = [Host(one.name, (one.address,)) for one in members if one.address]
    try:
        return leader_address([own, *others])
    except ServerError:
        return ""
