"""What changes while a training runs: rates, the loss, and whether weights are rounded. `progress` is the share of the
time that is over, 0 to 1."""

import math
from dataclasses import dataclass

from mlx_spec.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Schedule:
    """The shares of the time at which a training changes, and how; a part of every recipe."""

    warm_up: float = 0.02
    final_rate: float = 0.02
    variation_from: float = 0.7
    variation_weight: float = 0.5
    rounded_from: float = 0.85
    """From this share of the time on the weights are rounded as in the export; see `rounding.Rounding`."""

    def __post_init__(self) -> None:
        """Raises ConfigError, naming the field, its value and its range."""
        self.check_shares("warm_up", "final_rate", "variation_from", "variation_weight", "rounded_from")

    def check_shares(self, *names: str) -> None:
        """Raises ConfigError for the first of these fields that is no share."""
        for name in names:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(name, getattr(self, name), "between 0 and 1")

    def rate_at(self, progress: float) -> float:
        """The share of the full learning rate: a warm-up, then a half cosine."""
        if progress < self.warm_up:
            return progress / self.warm_up
        along = min(1.0, (progress - self.warm_up) / max(1e-9, 1.0 - self.warm_up))
        return self.final_rate + (1.0 - self.final_rate) * 0.5 * (1.0 + math.cos(math.pi * along))

    def variation_at(self, progress: float) -> float:
        """The weight of Σ|q - p| in the loss: none at first, `variation_weight` for the last part of the time."""
        return self.variation_weight if progress >= self.variation_from else 0.0

    def rounds_at(self, progress: float) -> bool:
        """Whether a step that begins then rounds the weights first."""
        return progress >= self.rounded_from
