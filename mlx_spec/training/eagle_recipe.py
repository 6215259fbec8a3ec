"""Every setting of the recipe for an EAGLE-3 head, in one frozen value."""

import math
from dataclasses import dataclass

from mlx_spec.errors import ConfigError


@dataclass(frozen=True, slots=True)
class EagleRecipe:
    """How a head that reads the target's hidden states is trained. The defaults made `resources/starter/eagle`."""

    seed: int = 0
    answer_tokens: int = 1_500_000
    minutes: float = 100.0
    taps: tuple[int, ...] = ()
    """The target's layers whose outputs the head reads; empty: one near the start, the middle, one near the end."""
    draft_tokens: int = 8192
    steps: int = 4
    """Training-time test (Li et al. 2025, section 3.1): so many tokens are drafted in a row, each after the first from
    the head's own states."""
    few_steps: int = 2
    few_until: float = 0.45
    """While less than this share of the time is over only `few_steps` are drafted: what the first one learns serves
    all of them, and costs half."""
    only_ready: bool = False
    """Learn from the dialogues whose states are there already: another process is computing the others."""
    step_decay: float = 0.85
    """What a step's loss weighs beside that of the step before it: a later token counts only if the earlier ones
    stand."""
    batch_tokens: int = 2048
    matrix_rate: float = 0.014
    """Muon's, for the matrices of the decoder layer."""
    other_rate: float = 1e-3
    """AdamW's, for the vocabulary matrix and the norms."""
    weight_decay: float = 0.01
    warm_up: float = 0.02
    final_rate: float = 0.02
    variation_from: float = 0.6
    variation_weight: float = 0.5
    rounded_from: float = 0.85
    """From this share of the time on the weights are rounded as in the export; see `rounding.Rounding`."""
    held_out_tokens: int = 24_000
    watched_tokens: int = 4000
    checks: int = 16
    layer_bits: int = 6
    head_bits: int = 4

    def __post_init__(self) -> None:
        """Raises ConfigError, naming the field, its value and its range."""
        for name in (
            "answer_tokens",
            "draft_tokens",
            "steps",
            "few_steps",
            "batch_tokens",
            "held_out_tokens",
            "watched_tokens",
            "checks",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(name, getattr(self, name), "at least 1")
        for name in (
            "few_until",
            "step_decay",
            "warm_up",
            "final_rate",
            "variation_from",
            "variation_weight",
            "rounded_from",
        ):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(name, getattr(self, name), "between 0 and 1")
        for name in ("minutes", "matrix_rate", "other_rate"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(name, getattr(self, name), "more than 0")
        for name in ("layer_bits", "head_bits"):
            if getattr(self, name) not in (4, 5, 6, 8):
                raise ConfigError(name, getattr(self, name), "4, 5, 6 or 8")

    def taps_of(self, layers: int) -> tuple[int, ...]:
        """The layers to read of a target with so many: EAGLE-3's own choice unless the recipe names others."""
        return self.taps or (1, layers // 2 - 1, layers - 4)

    def rate_at(self, progress: float) -> float:
        """The share of the full learning rate when `progress` (0 to 1) of the time is over: a warm-up, then a half
        cosine."""
        if progress < self.warm_up:
            return progress / self.warm_up
        along = min(1.0, (progress - self.warm_up) / max(1e-9, 1.0 - self.warm_up))
        return self.final_rate + (1.0 - self.final_rate) * 0.5 * (1.0 + math.cos(math.pi * along))

    def variation_at(self, progress: float) -> float:
        """The weight of Σ|q - p| in the loss: none at first, `variation_weight` for the last part of the time."""
        return self.variation_weight if progress >= self.variation_from else 0.0

    def rounds_at(self, progress: float) -> bool:
        """Whether a step that begins when `progress` of the time is over rounds the weights first."""
        return progress >= self.rounded_from

    def steps_at(self, progress: float) -> int:
        """How many tokens a step of training drafts in a row."""
        return min(self.few_steps, self.steps) if progress < self.few_until else self.steps
