"""Which machines make a group: from `a,b`, or from a file as `mlx.launch` reads it. Looks nothing up."""

import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from mlx_spec.errors import ServerError

Backend = Literal["ring", "jaccl", "jaccl-ring"]
BACKENDS: Final[tuple[str, ...]] = get_args(Backend)

_LOOPBACK_NAMES: Final = frozenset({"localhost", "localhost."})
_FOREIGN: Final = {"mpi", "nccl"}


@dataclass(frozen=True, slots=True)
class Host:
    """A machine: `name` is what ssh goes to, `ips` where the others reach it, the first first. `rdma` names the devices
    that lead to each other machine (JACCL), None for the machine itself. `python` is its own interpreter, None where
    the group's is meant."""

    name: str
    ips: tuple[str, ...] = ()
    rdma: tuple[Any, ...] = ()
    python: str | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether it is this very machine by an address that no other has."""
        return is_loopback(self.name)


@dataclass(frozen=True, slots=True)
class HostList:
    """The machines of a group, rank by rank, how they are connected, and what their processes have in their
    environment, as NAME=VALUE each."""

    machines: tuple[Host, ...]
    backend: Backend = "ring"
    envs: tuple[str, ...] = ()
    python: str | None = None

    def __len__(self) -> int:
        return len(self.machines)

    def to_json(self) -> dict[str, Any]:
        """As `mlx.launch` reads it; it passes over what it does not know."""
        rows = []
        for one in self.machines:
            row: dict[str, Any] = {"ssh": one.name, "ips": list(one.ips), "rdma": list(one.rdma)}
            rows.append(row | ({"python": one.python} if one.python else {}))
        whole: dict[str, Any] = {"backend": self.backend, "envs": list(self.envs), "hosts": rows}
        return whole | ({"python": self.python} if self.python else {})


def is_loopback(name: str) -> bool:
    """Whether a name or address is this machine's own for itself."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name.lower() in _LOOPBACK_NAMES


def read_hosts(text: str, backend: str | None = None, python: str | None = None) -> HostList:
    """The machines of `a,b`. Raises ServerError, as `read_hostfile` does."""
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise ServerError(f"--hosts {text!r} has an empty name: write it as in a.local,b.local.")
    machines = tuple(Host(name, (name,) if _is_address(name) else ()) for name in names)
    return _checked(HostList(machines, python=python), backend, "--hosts")


def read_hostfile(path: Path, backend: str | None = None, python: str | None = None) -> HostList:
    """The machines of a file of `mlx.launch`: a list of `{"ssh": …, "ips": […], "rdma": […]}`, or an object that has it
    as `hosts`, with `backend` and `envs`. Beside what that knows, a `python` names the interpreter, of all or of one.
    `backend` and `python` go before what the file says.

    Raises ServerError with what is wrong: no such file, not JSON, no such backend, fewer than two hosts, one twice, or
    RDMA devices that lead not to every other one.
    """
    try:
        said = json.loads(path.expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise ServerError(f"The hostfile {path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise ServerError(f"The hostfile {path} is not JSON ({error}).") from error
    try:
        hosts = _host_list(said)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ServerError(
            f"The hostfile {path} is not one of mlx.launch's ({type(error).__name__}: {error}): it is a list of"
            ' {"ssh": NAME, "ips": [ADDRESS]}, or an object with such a list as "hosts".'
        ) from error
    return _checked(replace(hosts, python=python or hosts.python), backend, f"The hostfile {path}")


def _host_list(said: Any) -> HostList:
    whole = said if isinstance(said, dict) else {"hosts": said}
    rows = whole["hosts"]
    if not isinstance(rows, list):
        raise TypeError("hosts is no list")
    machines = tuple(
        Host(_text(row["ssh"]), _texts(row.get("ips", [])), tuple(row.get("rdma", [])), row.get("python"))
        for row in rows
    )
    # `backend` may be any text until it is checked.
    return HostList(machines, whole.get("backend") or "ring", _texts(whole.get("envs", [])), whole.get("python"))


def _checked(hosts: HostList, backend: str | None, source: str) -> HostList:
    wanted = backend or hosts.backend
    if wanted not in BACKENDS:
        why = "Lookahead has no use for it" if wanted in _FOREIGN else "there is no such backend"
        raise ServerError(f"The backend {wanted!r} cannot be used ({why}): take ring, jaccl or jaccl-ring.")
    hosts = replace(hosts, backend=cast(Backend, wanted))
    if len(hosts) < 2:
        raise ServerError(f"{source} names {len(hosts)} host{'s' * (len(hosts) != 1)}: a group has at least two.")
    _check_names(hosts.machines, source)
    if hosts.backend != "ring":
        _check_rdma(hosts)
    for line in hosts.envs:
        name = line.partition("=")[0]
        if not name.isidentifier():
            raise ServerError(f"{source} sets {line!r}, which is no variable: write NAME=VALUE.")
        if "\n" in line or "\0" in line:
            raise ServerError(f"{source} sets {name} to more than one line, which no rank takes: write it as one.")
    return hosts


def _check_names(machines: Sequence[Host], source: str) -> None:
    seen: set[str] = set()
    for one in machines:
        # ssh would take it for an option, or run something else on the way.
        if one.name.startswith("-") or any(character.isspace() for character in one.name):
            raise ServerError(f"{source} names {one.name!r}, which is no host.")
        for ip in one.ips:
            if not _is_address(ip):
                raise ServerError(f"{source} has {ip!r} among the ips of {one.name}, which is no address.")
        if one.is_loopback:
            continue  # so a group is tried on one machine
        for name in dict.fromkeys((one.name.lower(), *one.ips)):
            if name in seen:
                raise ServerError(f"{source} names {name} twice: a machine holds one part of a model.")
        seen |= {one.name.lower(), *one.ips}


def _check_rdma(hosts: HostList) -> None:
    """As `mlx.launch` does, with the pairs named."""
    count = len(hosts)
    for i, one in enumerate(hosts.machines):
        if len(one.rdma) != count or one.rdma[i] is not None:
            raise ServerError(
                f"{hosts.backend} needs the RDMA devices of each host, one for each host and null for itself, and"
                f" {one.name} has {list(one.rdma)}: let `mlx.distributed_config --backend {hosts.backend}` write the"
                " hostfile."
            )
        near = {(i - 1) % count, (i + 1) % count} if hosts.backend == "jaccl-ring" else set(range(count))
        if missing := [hosts.machines[j].name for j in sorted(near - {i}) if one.rdma[j] is None]:
            raise ServerError(f"The hostfile lists no RDMA device from {one.name} to {', '.join(missing)}.")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is no name")
    return value


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError(f"{values!r} is no list")
    return tuple(_text(value) for value in values)
