"""What a trainer says after each step."""

from collections.abc import Callable
from dataclasses import dataclass

from mlx_spec.training.initial import Weights


@dataclass(frozen=True, slots=True)
class Progress:
    """The share of the time that is over (0 to 1), steps and answer tokens so far, and Σ min(p, q) on the last
    batch."""

    share: float
    step: int
    tokens: int
    overlap: float
    weights: Callable[[], Weights]
    """A copy of the weights as they are now, for a checkpoint."""
