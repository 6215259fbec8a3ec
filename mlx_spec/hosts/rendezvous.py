"""Where the ranks of a group meet for their collectives: what MLX wants to find in its environment."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

MEETING_S: Final = 30.0
"""Ranks that are all there, and all about to enter, need a moment to find each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendezvous:
    """`ring` holds the addresses and ports of each rank, as `IP:PORT`; JACCL's `coordinator` one of the leader's, and
    `rdma` each rank's devices to each other."""

    backend: str
    ring: tuple[tuple[str, ...], ...] = ()
    coordinator: str | None = None
    rdma: tuple[tuple[Any, ...], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As a step can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> "Rendezvous":
        """What `to_dict` made, also through JSON."""
        return cls(
            backend=str(told["backend"]),
            ring=tuple(tuple(one) for one in told["ring"]),
            coordinator=told["coordinator"],
            rdma=tuple(tuple(one) for one in told["rdma"]),
        )

    @property
    def name(self) -> str:
        """The backend as `mx.distributed.init` calls it."""
        return "jaccl" if self.backend.startswith("jaccl") else "ring"

    def enter(self, rank: int, folder: Path) -> None:
        """Set this process's environment for `mx.distributed.init`, which reads files: they are written into `folder`,
        and may go when the group is made."""
        os.environ["MLX_RANK"] = str(rank)
        if self.name == "ring":
            os.environ["MLX_HOSTFILE"] = _written(folder / "ring.json", self.ring)
            return
        assert self.coordinator is not None, "JACCL has a coordinator"
        os.environ["MLX_JACCL_COORDINATOR"] = self.coordinator
        os.environ["MLX_IBV_DEVICES"] = _written(folder / "devices.json", self.rdma)
        if self.backend == "jaccl-ring":
            os.environ["MLX_JACCL_RING"] = "1"


def meeting(
    backend: str, places: Mapping[int, tuple[Sequence[str], Sequence[int]]], rdma: tuple[tuple[Any, ...], ...] = ()
) -> Rendezvous:
    """The rendezvous of ranks that listen at `places`: the addresses of each, and a port for each address."""
    if backend == "ring":
        rows = [places[rank] for rank in sorted(places)]
        ring = tuple(tuple(_place(ip, port) for ip, port in zip(ips, ports, strict=True)) for ips, ports in rows)
        return Rendezvous(backend=backend, ring=ring)
    ips, ports = places[0]
    return Rendezvous(backend=backend, coordinator=_place(ips[0], ports[0]), rdma=rdma)


@contextlib.contextmanager
def ended_after(limit_s: float) -> Iterator[None]:
    """Have this process ended by the system (SIGALRM) where what is inside takes longer: it may hold the interpreter,
    so that no thread could end it."""
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _place(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def _written(path: Path, value: Any) -> str:
    path.write_text(json.dumps(value), encoding="utf-8")
    return str(path)
