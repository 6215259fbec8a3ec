"""From logits to a token: penalties, the distribution, and the noise of each position that draws from it."""

from mlx_spec.sampling.distribution import log_distribution, log_normaliser, scores
from mlx_spec.sampling.gumbel import NoiseTable, noise, sample

__all__ = ["NoiseTable", "log_distribution", "log_normaliser", "noise", "sample", "scores"]
