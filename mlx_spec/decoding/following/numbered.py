"""What the leader's caches hold of texts, with the numbers by which the others know theirs."""

from dataclasses import dataclass
from typing import Self

import mlx.core as mx

from mlx_spec.decoding.cache.snapshot import Snapshot
from mlx_spec.decoding.cache.stretches import Stretch
from mlx_spec.decoding.following.telling import Number


class NumberedStretch(tuple[mx.array, ...]):
    """A `Stretch`."""

    number: Number

    def __new__(cls, arrays: Stretch, number: Number) -> Self:
        made = super().__new__(cls, arrays)
        made.number = number
        return made


@dataclass(frozen=True, slots=True)
class NumberedSnapshot(Snapshot):
    """A `Snapshot`. What was swapped out and is back is another object, of the same number."""

    number: Number


def number_of(held: Stretch | Snapshot) -> int:
    """The number of what a cache held. What has none was read by another process, and the others do not have it."""
    assert isinstance(held, NumberedStretch | NumberedSnapshot), "the other machines do not have what this one has"
    return held.number.value
