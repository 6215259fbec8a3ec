"""Which ranks of a group are on one machine, and so have its memory between them."""

from collections.abc import Sequence

from mlx_spec.hosts.hostfile import is_loopback


def neighbours(hosts: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """For each rank of `hosts`, all ranks on its machine, itself included. Rank 0 is on this one, as are those that are
    named by loopback; all others are named once."""
    here = tuple(rank for rank, host in enumerate(hosts) if rank == 0 or is_loopback(host))
    return tuple(here if rank in here else (rank,) for rank in range(len(hosts)))
