"""A text that was read, and is kept."""

from dataclasses import dataclass

from mlx_spec.decoding.cache.blocks.block import Block


@dataclass(slots=True, eq=False)
class Text:
    """Its blocks, whose it is, and when it was asked for last."""

    blocks: tuple[Block, ...]
    owner: str | None
    used: float

    def goes_on_from(self, other: "Text") -> bool:
        """Whether it holds all that the other holds."""
        count = len(other.blocks)
        return count <= len(self.blocks) and (not count or self.blocks[count - 1] is other.blocks[-1])
