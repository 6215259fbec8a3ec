"""How a target is divided over the ranks of a group, as a value. It needs no MLX."""

from dataclasses import dataclass
from typing import Literal

Way = Literal["tensor", "pipeline"]
"""Each rank has a part of every layer, or whole layers that follow one another."""

Exactness = Literal["strict", "fast"]
"""Whether a row's bits are those of one machine, or sums may be added in another order."""


@dataclass(frozen=True, slots=True)
class Split:
    """`layers` is for a pipeline: how many each rank has, rank 0 first. Rank 0 has the last layers, as mlx-lm gives
    them out, so that what it needs for the head ends there. None: as many each as holds bytes alike."""

    way: Way
    ranks: int
    exactness: Exactness = "strict"
    layers: tuple[int, ...] | None = None
