"""What the machines of a group multiply with: the same on all, or words would go by who holds which layers."""

from collections.abc import Sequence

from mlx_spec.hosts.channel.leader import LeaderChannel
from mlx_spec.models.memory import multiplies_by, serving_blas


def check_arithmetic(channel: LeaderChannel, hosts: Sequence[str]) -> None:
    """Raise ServerError for a rank whose matrices another BLAS multiplies than the leader's: it rounds otherwise. Each
    has said its own together with its model. A Mac has one for all."""
    here = serving_blas()
    for rank, words in channel.said("model").items():
        if words["blas"] != here:
            both = (
                f"multiplies with {_named(words['blas'])} and {hosts[0]} with {_named(here)}, which round differently"
            )
            raise channel.refuse(
                rank,
                f"{hosts[rank]} (rank {rank}) {both}: install OpenBLAS on all, or set LOOKAHEAD_BLAS=off on all.",
            )


def machines_of(channel: LeaderChannel) -> tuple[str, ...]:
    """What each rank multiplies by, rank 0 first."""
    told = channel.said("model")
    return multiplies_by(), *(str(told[rank]["machine"]) for rank in sorted(told))


def _named(blas: str) -> str:
    return {"openblas": "OpenBLAS"}.get(blas, str(blas))
