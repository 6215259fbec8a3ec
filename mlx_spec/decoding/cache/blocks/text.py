"""A text that was read, and is kept."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlx_spec.decoding.cache.blocks.chain import Block


@dataclass(slots=True, eq=False)
class Text:
    """Its blocks, whose it is, and when it was asked for last."""

    blocks: tuple[Block, ...]
    owner: str | None
    used: float
    stored: bool = False
    """Whether the disk has been given it."""

    def goes_on_from(self, other: "Text") -> bool:
        """Whether it holds all that the other holds."""
        if not other.blocks:
            return True
        *_, last = other.blocks
        if len(other.blocks) > len(self.blocks):
            return False
        same = self.blocks[len(other.blocks) - 1]  # or one that goes on from it
        return same is last or (
            same.parent == last.parent
            and len(last.token_ids) < len(same.token_ids)
            and np.array_equal(same.token_ids[: len(last.token_ids)], last.token_ids)
        )


def shared_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts begin with alike."""
    count = min(len(one), len(other))
    different = np.flatnonzero(np.asarray(one[:count]) != np.asarray(other[:count]))
    return int(different[0]) if len(different) else count
