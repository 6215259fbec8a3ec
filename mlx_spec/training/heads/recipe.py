"""Every setting of the recipe for an EAGLE-3 head, in one frozen value."""

from dataclasses import dataclass, replace

from mlx_spec.errors import ConfigError
from mlx_spec.training.schedule import Schedule


@dataclass(frozen=True, slots=True)
class EagleRecipe(Schedule):
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
    variation_from: float = 0.6
    held_out_tokens: int = 24_000
    watched_tokens: int = 4000
    checks: int = 16
    layer_bits: int = 6
    head_bits: int = 4

    def __post_init__(self) -> None:
        """Raises ConfigError, naming the field, its value and its range."""
        Schedule.__post_init__(self)  # `super()` knows no class that slots were added to
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
        self.check_shares("few_until", "step_decay")
        for name in ("minutes", "matrix_rate", "other_rate"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(name, getattr(self, name), "more than 0")
        for name in ("layer_bits", "head_bits"):
            if getattr(self, name) not in (4, 5, 6, 8):
                raise ConfigError(name, getattr(self, name), "4, 5, 6 or 8")

    def taps_of(self, layers: int) -> tuple[int, ...]:
        """The layers to read of a target with so many: EAGLE-3's own choice unless the recipe names others."""
        return self.taps or (1, layers // 2 - 1, layers - 4)

    def going_on(self) -> "EagleRecipe":
        """For a head that was trained before: all steps from the first, half the rates, and the total variation
        earlier, as the last run of the shipped head had them."""
        return replace(
            self,
            few_until=0.0,
            matrix_rate=self.matrix_rate / 2,
            other_rate=self.other_rate / 2,
            variation_from=min(self.variation_from, 0.25),
        )

    def steps_at(self, progress: float) -> int:
        """How many tokens a step of training drafts in a row."""
        return min(self.few_steps, self.steps) if progress < self.few_until else self.steps
