"""Lookahead's engine: exact speculative decoding on MLX. The names below are the public surface."""

from mlx_spec.config import SamplingParams, SpeculativeConfig
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.models.loading import ModelPair, load_pair
from mlx_spec.stats import SpeculativeStats

__all__ = ["ModelPair", "SamplingParams", "SpeculativeConfig", "SpeculativeDecoder", "SpeculativeStats", "load_pair"]
