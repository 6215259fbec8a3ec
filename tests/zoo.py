"""Tiny random models of many architectures, from mlx-lm's own model classes: one of every cache kind it makes.

Float32, one vocabulary, logits spread enough that two tokens never tie. Sliding windows and chunks are `WINDOW` long.
"""

import importlib
from typing import Final

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_map, tree_map_with_path, tree_unflatten
from mlx_lm.models.cache import KVCache

from tests.zoo_configs import CONFIGS, VOCAB, WINDOW, widened

__all__ = ["ARCHITECTURES", "VOCAB", "WINDOW", "ScriptedDraft", "mixed", "zoo_model"]

ARCHITECTURES: Final = tuple(CONFIGS)


def zoo_model(name: str, seed: int = 0, *, scale: float = 3.0, wide: bool = False) -> nn.Module:
    """A random model of architecture `name`; a larger `scale` spreads its logits more. With `wide` heads its keys and
    values can be kept in fewer bits."""
    module_name, arguments = CONFIGS[name]
    arguments = widened(arguments) if wide else arguments
    module = importlib.import_module(f"mlx_lm.models.{module_name}")
    args = module.ModelArgs.from_dict({"model_type": name, **arguments})
    mx.random.seed(seed)
    model = module.Model(args)
    model.update(tree_map_with_path(_drawn, model.parameters()))
    last_norm = [
        (key, scale * mx.ones_like(value))
        for key, value in tree_flatten(model.parameters())
        if value.ndim == 1 and "norm" in key and "layers" not in key
    ]
    assert len(last_norm) == 1, f"{name}: {[key for key, _ in last_norm]}"
    model.update(tree_unflatten(last_norm))
    model.eval()
    mx.eval(model.parameters())
    return model


def _drawn(path: str, value: mx.array) -> mx.array:
    """Matrices drawn larger in the layers than outside, so that what a token attends to decides what follows it."""
    if value.ndim < 2:
        return value
    gain = 4.0 if "layers" in path else 1.0
    return mx.random.normal(value.shape) * gain * (value.shape[-1] ** -0.5)


def mixed(model: nn.Module, other: nn.Module, share: float) -> nn.Module:
    """`other` with `share` of `model`'s parameters mixed in: a draft that agrees now and then."""
    other.update(tree_map(lambda a, b: share * a + (1 - share) * b, model.parameters(), other.parameters()))
    mx.eval(other.parameters())
    return other


class ScriptedDraft(nn.Module):
    """A draft that says what it is told to, by position: `token_ids[i]` follows the i-th token of the text."""

    def __init__(self, token_ids: list[int]) -> None:
        super().__init__()
        self._rows = 60.0 * (mx.array([*token_ids, *[0] * 40])[:, None] == mx.arange(VOCAB)).astype(mx.float32)

    @property
    def layers(self) -> list[None]:
        """One cache for mlx-lm to make."""
        return [None]

    def __call__(self, inputs: mx.array, cache: list[KVCache]) -> mx.array:
        start = cache[0].offset
        cache[0].update_and_fetch(*[mx.zeros((1, 1, inputs.shape[1], 1))] * 2)
        return self._rows[start : start + inputs.shape[1]][None]
