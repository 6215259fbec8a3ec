"""Lookahead's engine: exact speculative decoding on MLX. The names below are the public surface."""

import importlib
from typing import TYPE_CHECKING, Any

from mlx_spec.machine.transformers_import import read_once

if TYPE_CHECKING:
    from mlx_spec.config import SamplingParams, SpeculativeConfig
    from mlx_spec.decoder import SpeculativeDecoder
    from mlx_spec.events import SpeculativeStats
    from mlx_spec.models.loading import ModelPair, load_pair

__all__ = ["ModelPair", "SamplingParams", "SpeculativeConfig", "SpeculativeDecoder", "SpeculativeStats", "load_pair"]

read_once()

_HOMES = {
    "ModelPair": "models.loading",
    "SamplingParams": "config",
    "SpeculativeConfig": "config",
    "SpeculativeDecoder": "decoder",
    "SpeculativeStats": "events",
    "load_pair": "models.loading",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: MLX and transformers take seconds, and `--help` needs neither."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
