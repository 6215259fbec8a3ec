"""In which way a pass attends, by a name that can be told to others who make the same pass."""

from typing import Literal, TypeAlias

from mlx_spec.decoding.cache.passes.attention import OwnWay
from mlx_spec.decoding.cache.passes.by_row import ByRow
from mlx_spec.decoding.cache.passes.of_prompts import OfPrompts
from mlx_spec.decoding.cache.passes.of_rounds import OfRounds
from mlx_spec.machine.kernels import prompt_attention, round_gates

Attends: TypeAlias = Literal["plainly", "by_row", "of_prompts"]
"""In MLX's own way, to the bit; so that each row has the bits that it has alone; as passes over prompts do."""


def way_of(attends: Attends) -> OwnWay | None:
    """That of a pass which begins now, on MLX's default device; None where all is done by MLX itself."""
    if attends == "by_row":
        return ByRow()
    if attends == "of_prompts" and prompt_attention.serves():
        return OfPrompts()
    return OfRounds() if round_gates.serves() else None


def reads_as_it_scores() -> bool:
    """Whether passes over prompts attend as those of rounds do, on MLX's default device."""
    return not prompt_attention.serves()
