"""The target itself with layers left out as the drafter, for when nothing else fits (Zhang et al. 2024, arXiv
2309.08168).

No weights, no training, and no memory but a cache; a draft costs a good part of the target's own step, so that it pays
only where the target goes on agreeing with half of itself. The middle layers go: the first ones make words of tokens
and the last ones tokens of words (Xia et al. 2025, SWIFT, arXiv 2410.06916, leave out most of the rest).
"""

import copy
import weakref
from typing import Any, Final

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec.decoding.cache.trials import is_shared
from mlx_spec.errors import UnsupportedModelError

KEPT_SHARE: Final = 0.5
KEPT_ENDS: Final = 2
"""Layers at either end that are never left out."""


def kept_layers(count: int, share: float = KEPT_SHARE) -> tuple[int, ...]:
    """Which of `count` layers draft: both ends, and of those between as many, evenly, as make `share` of all."""
    ends = min(KEPT_ENDS, count // 2)
    middle = range(ends, count - ends)
    wanted = max(0, min(len(middle), round(share * count) - 2 * ends))
    picked = [middle[int((i + 0.5) * len(middle) / wanted)] for i in range(wanted)]
    return (*range(ends), *picked, *range(count - ends, count))


def without_layers(model: Any, kept: tuple[int, ...]) -> nn.Module:
    """The model with only the layers `kept`, which it shares with the original; the original is untouched.

    Raises UnsupportedModelError for a model whose layers are not all of one kind, or not in a plain list: there its
    code counts on each one's place.
    """
    if is_shared(model):
        raise UnsupportedModelError(
            "The target cannot draft for itself where several machines share it, as a draft would take as many turns"
            " over the network as an answer: choose another drafter."
        )
    layers = list(model.layers)
    kinds = {tuple(type(part) for part in (layer, *layer.children().values())) for layer in layers}
    caches = {type(cache) for cache in make_prompt_cache(model)}
    path = _path_to(model, layers[0])
    name = type(model).__module__.rpartition(".")[2]
    if len(kinds) > 1 or len(caches) > 1 or path is None or len(make_prompt_cache(model)) != len(layers):
        raise UnsupportedModelError(
            f"A {name} model cannot draft for itself, as its layers are not all alike: choose another drafter."
        )
    smaller = copy.copy(model)
    module = smaller
    for key in path[:-1]:
        dict.__setitem__(module, key, copy.copy(module[key]))
        module = module[key]
    dict.__setitem__(module, path[-1], [layers[index] for index in kept])
    try:
        caches_by_layer = make_prompt_cache(smaller)
        smaller(mx.zeros((1, 1), dtype=mx.int32), cache=caches_by_layer)  # the graph only: it is never computed
        if len(caches_by_layer) != len(kept):
            raise IndexError("as many caches as before")
    except (IndexError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise UnsupportedModelError(
            f"A {name} model cannot draft for itself, as it counts its layers: choose another drafter.",
            details=repr(error),
        ) from error
    return smaller


_HALVES: Final[dict[int, nn.Module]] = {}


def half_of(model: Any) -> nn.Module:
    """The model with `kept_layers`, made once for as long as it lives: what is compiled for it stays.

    Raises UnsupportedModelError as `without_layers`.
    """
    key = id(model)
    if key not in _HALVES:
        half = without_layers(model, kept_layers(len(model.layers)))
        weakref.finalize(model, _HALVES.pop, key, None)
        _HALVES[key] = half
    return _HALVES[key]


def _path_to(model: Any, layer: Any) -> tuple[str, ...] | None:
    """The keys that lead to the list with the layers, through modules; None where there is no such list."""
    for key, value in model.items():
        if isinstance(value, list) and any(item is layer for item in value):
            return (key,)
        if isinstance(value, nn.Module):
            below = _path_to(value, layer)
            if below is not None:
                return (key, *below)
    return None
