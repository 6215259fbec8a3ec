"""Every setting of the distilling recipe, in one frozen value."""

import math
from dataclasses import dataclass

from mlx_spec.errors import ConfigError
from mlx_spec.training.schedule import Schedule


@dataclass(frozen=True, slots=True)
class Limits:
    """Longest question, answer and whole dialogue, in tokens."""

    question: int
    answer: int
    total: int


LIMITS = Limits(question=64, answer=256, total=384)


@dataclass(frozen=True, slots=True)
class DraftShape:
    """The draft's size. Its heads, rope and vocabulary are the target's, so that layers can be taken over."""

    hidden: int = 256
    inner: int = 1024
    source_layers: tuple[int, ...] = (0, 1, 2, 3)
    """The target's layers that the draft's layers start from; the draft has as many."""


@dataclass(frozen=True, slots=True)
class Recipe(Schedule):
    """How a draft is distilled. The defaults made `resources/starter`."""

    seed: int = 0
    # The corpus
    answer_tokens: int = 1_500_000
    shard_tokens: int = 40_000
    rows: int = 256
    temperatures: tuple[float, ...] = (0.0, 0.7, 1.0)
    temperature_weights: tuple[float, ...] = (0.35, 0.35, 0.3)
    self_asked_share: float = 0.5
    second_turn_share: float = 0.4
    limits: Limits = LIMITS
    # Distilling
    shape: DraftShape = DraftShape()
    minutes: float = 40.0
    batch_tokens: int = 4096
    frequent_tokens: int = 8192
    """The tokens most frequent in the answers, which every step scores; see `VocabularySampler`."""
    drawn_tokens: int = 2048
    """How many of the other tokens a step scores too."""
    matrix_rate: float = 0.014
    """Muon's (Jordan 2024), for the layers' matrices. Going on from an earlier draft, unseen batches agreed by 0.32 to
    0.33 during its first 50 steps, by 0.30 to 0.31 with AdamW."""
    other_rate: float = 1.4e-3
    """AdamW's, for the embedding and the norms."""
    weight_decay: float = 0.01
    held_out_tokens: int = 24_000
    watched_tokens: int = 3000
    checks: int = 10
    # The exported draft
    layer_bits: int = 6
    embedding_bits: int = 4

    def __post_init__(self) -> None:
        """Raises ConfigError, naming the field, its value and its range."""
        Schedule.__post_init__(self)  # `super()` knows no class that slots were added to
        for name in ("answer_tokens", "shard_tokens", "rows", "batch_tokens", "frequent_tokens", "held_out_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(name, getattr(self, name), "at least 1")
        if self.drawn_tokens < 0:
            raise ConfigError("drawn_tokens", self.drawn_tokens, "zero or more")
        self.check_shares("self_asked_share", "second_turn_share")
        for name in ("minutes", "matrix_rate", "other_rate"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(name, getattr(self, name), "more than 0")
        if min(self.temperatures) < 0 or len(self.temperatures) != len(self.temperature_weights):
            raise ConfigError("temperatures", self.temperatures, "zero or more, one for each weight")
        if min(self.temperature_weights) < 0 or not 0 < sum(self.temperature_weights) < math.inf:
            raise ConfigError("temperature_weights", self.temperature_weights, "zero or more, and not all zero")
        for name in ("layer_bits", "embedding_bits"):
            if getattr(self, name) not in (4, 6, 8):
                raise ConfigError(name, getattr(self, name), "4, 6 or 8")
