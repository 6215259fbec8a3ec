"""The choice between blocks and caches of its own, measured once for a model on a machine, and kept for good.

The two ways round differently. So it does not follow the clock: it is not measured again with what passes cost, and
what was measured while others had much of the machine is not kept. Until it is, answers have caches of their own.
"""

import contextlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import RotatingKVCache, make_prompt_cache

from mlx_spec.decoding.cache.blocks.pool import BLOCK_TOKENS
from mlx_spec.decoding.cache.over_blocks import adopt
from mlx_spec.decoding.cache.paged_choice import PagedChoice, measure_paged, paged_choice_of
from mlx_spec.decoding.cache.passes.paged_trial import blocks_agree
from mlx_spec.decoding.cache.rollback import leaves
from mlx_spec.decoding.cache.trials import is_shared
from mlx_spec.errors import UnsupportedModelError
from mlx_spec.lookahead.costs import DISTURBED
from mlx_spec.machine.disturbance import Disturbance
from mlx_spec.machine.kept import keep, kept_path, read_kept
from mlx_spec.machine.kernels import dispatch
from mlx_spec.models.memory import blas_build, rows_are_independent, weights_bytes

_VERSION: Final = 1
_RATIOS: Final = "blocks_over_own"
_TRIES: Final = "tries"
_MOST_TRIES: Final = 4
"""So often a start measures where others are busy. On a machine that always is, answers keep their own caches."""


def choose_blocks(
    model: nn.Module, name: str, tell: Callable[[str, float], None], kv_bits: int | None = None
) -> PagedChoice:
    """Have a model's answers go over blocks where that pays, as it was measured here before, or is now; the choice.

    Nothing is measured, and no answer goes over blocks, where rows are independent, as blocks would round otherwise
    than all other passes do; with keys and values in fewer bits; with windows, as blocks would hold what these drop;
    and where other machines have shares of the model.
    """
    if kv_bits is not None or rows_are_independent() or _has_windows(model) or is_shared(model):
        return PagedChoice()
    path = _path(model, name)
    kept = read_kept(path)
    choice, tries = _choice_of(kept), kept.get(_TRIES)
    if choice is None and isinstance(tries, int) and tries >= _MOST_TRIES:
        return PagedChoice()
    if choice is None:
        others = Disturbance()
        choice = PagedChoice()
        with contextlib.suppress(UnsupportedModelError):  # it can only be decoded plainly
            choice = measure_paged(model, name, BLOCK_TOKENS, tell)
        if choice.ratios and others.read() > DISTURBED:
            keep(path, {"target": name, _TRIES: tries + 1 if isinstance(tries, int) else 1})
            return PagedChoice()
        keep(path, {"target": name, _RATIOS: choice.kept()})
    # What is kept may be of another model of the same name and size.
    if choice.ever_pays and blocks_agree(model):
        adopt(model, choice.pays)
    return choice


def _choice_of(kept: dict[str, Any]) -> PagedChoice | None:
    """What was measured; None where nothing was, or what is there makes no sense."""
    ratios = kept.get(_RATIOS)
    choice = paged_choice_of(ratios)
    return choice if choice.kept() == ratios else None


def _has_windows(model: nn.Module) -> bool:
    return any(type(cache) is RotatingKVCache for cache in leaves(make_prompt_cache(model)))


def _path(model: nn.Module, name: str) -> Path:
    device = mx.device_info() if mx.default_device().type == mx.DeviceType.gpu else {}
    facts: list[Any] = [_VERSION, version("mlx"), version("mlx-lm"), str(mx.default_device())]
    facts += [sorted(map(str, device.items())), blas_build(), dispatch.serves(), name, weights_bytes(model)]
    return kept_path("blocks", facts)
