"""All machines of a group multiply with the same BLAS: another rounds otherwise."""

from typing import Any

import pytest

from mlx_spec.errors import ServerError
from mlx_spec.models.memory import multiplies_by, serving_blas
from mlx_spec.server.group.arithmetic import check_arithmetic, machines_of


class Channel:
    """Ranks 1 and 2 have said their model."""

    def __init__(self, *blas: str) -> None:
        self.blas = blas
        self.refused: list[int] = []

    def said(self, name: str) -> dict[int, dict[str, Any]]:
        assert name == "model"
        return {
            rank: {"content": "x", "blas": blas, "machine": f"chip {rank}"}
            for rank, blas in enumerate(self.blas, start=1)
        }

    def refuse(self, rank: int, message: str) -> ServerError:
        self.refused.append(rank)
        return ServerError(message)


def test_who_multiplies_otherwise_is_named_with_what_to_do() -> None:
    channel: Any = Channel(serving_blas(), "a library of its own")
    with pytest.raises(ServerError, match=r"b\.local \(rank 2\) multiplies with a library of its own and here with"):
        check_arithmetic(channel, ["here", "a.local", "b.local"])
    assert channel.refused == [2]


def test_the_same_everywhere_is_let_through() -> None:
    channel: Any = Channel(serving_blas(), serving_blas())
    check_arithmetic(channel, ["here", "a.local", "b.local"])
    assert channel.refused == []


def test_each_rank_says_what_it_multiplies_by() -> None:
    channel: Any = Channel(serving_blas(), serving_blas())
    assert machines_of(channel) == (multiplies_by(), "chip 1", "chip 2")
