"""Whether a built model turns positions as its configuration says."""

from collections.abc import Mapping
from typing import Any

import mlx.nn as nn

from mlx_spec.errors import UnsupportedModelError
from mlx_spec.models.files.rope import UNSCALED, scaling_kind


def check_rope(model: nn.Module, config: Mapping[str, Any], where: str) -> None:
    """Raise UnsupportedModelError where a built model turns positions in another way than its configuration says.

    Then its words would be wrong without a sign: a family of mlx-lm that knows no scaling drops it in silence.
    """
    inner = config.get("text_config")
    said = dict(inner) if isinstance(inner, dict) else dict(config)
    plain = [module for module in model.modules() if isinstance(module, nn.RoPE)]
    if not plain or any(hasattr(module, "_freqs") or _is_rotary(module) for module in model.modules()):
        return
    scaling, bases = said.get("rope_scaling"), _table_bases(said.get("rope_parameters"))
    lost = ""
    if isinstance(scaling, dict) and _changes(scaling) and all(module.scale == 1.0 for module in plain):
        lost = f"scales its positions by {scaling_kind(scaling)!r}"
    elif bases and not bases & {float(module.base) for module in plain}:
        lost = f"turns positions by base {min(bases):,.0f}"
    if lost:
        family = said.get("model_type", config.get("model_type"))
        raise UnsupportedModelError(
            f"{where} {lost}, which this version of mlx-lm does not do for {family!r}: its answers would be wrong."
        )


def _changes(scaling: Mapping[str, Any]) -> bool:
    return scaling_kind(scaling) not in UNSCALED and scaling.get("factor", 0.0) != 1.0


def _is_rotary(module: nn.Module) -> bool:
    """Whether a family has a class of its own for it, as some have."""
    name = type(module).__name__.lower()
    return not isinstance(module, nn.RoPE) and ("rope" in name or "rotary" in name) and "attention" not in name


def _table_bases(table: Any) -> set[float]:
    if not isinstance(table, dict):
        return set()
    parts = [part for part in table.values() if isinstance(part, dict)] or [table]
    return {float(part["rope_theta"]) for part in parts if part.get("rope_theta") is not None}
