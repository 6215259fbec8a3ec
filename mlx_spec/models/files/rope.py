"""How a model turns positions: transformers 5 keeps all of it in `rope_parameters`, mlx-lm reads the fields of before.

transformers 5 saves every model so: one table, `{"rope_type": …, "rope_theta": …, …}`, or one for each kind of layer.
Most of mlx-lm's families read `rope_theta`, `rope_scaling` and the like, and take their own defaults where those are
missing. So the fields of before are filled in from the table; a family that reads the table itself still finds it.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

# Under these names the same thing is read, by one family or another.
_BASES: Final = ("rope_theta", "rotary_emb_base")
_LOCAL_BASES: Final = ("rope_local_base_freq", "rope_local_theta", "swa_rope_theta")
_SHARES: Final = ("partial_rotary_factor", "rotary_pct")
_GLOBAL_LAYERS: Final = ("full_attention", "main")
_ORIGINAL: Final = "original_max_position_embeddings"
_STRETCHED: Final = ("yarn", "llama3", "longrope")
# `mrope` on text alone is no scaling.
UNSCALED: Final = (None, "default", "mrope")


def with_rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` with the fields that mlx-lm's families read, where transformers 5 wrote `rope_parameters`.

    The same for the part of a model that is about text, `text_config`. What the table says stands above an older field
    of the same meaning, as transformers has it; an older `rope_scaling` stands above the table.
    """
    filled = dict(config)
    table = config.get("rope_parameters")
    if isinstance(table, dict) and table:
        filled.update(_fields(config, table))
    if isinstance(scaling := filled.get("rope_scaling"), dict):
        filled["rope_scaling"] = whole = _whole_scaling(scaling, filled)
        if whole.get(_ORIGINAL) is not None and filled.get(_ORIGINAL) is None:
            filled[_ORIGINAL] = whole[_ORIGINAL]  # phi3 and phimoe read it there
    if isinstance(inner := config.get("text_config"), dict):
        filled["text_config"] = with_rope(inner)
    return filled


def yarn_context(config: Mapping[str, Any]) -> int | None:
    """The tokens that YaRN stretches a model's context to; None where `config`, as `with_rope` gives it, has no YaRN
    or does not say from what."""
    scaling = config.get("rope_scaling")
    if not isinstance(scaling, dict) or "yarn" not in str(scaling_kind(scaling)):
        return None
    original, factor = scaling.get(_ORIGINAL), scaling.get("factor")
    if not isinstance(original, int) or not isinstance(factor, int | float):
        return None
    return int(original * factor)


def _fields(config: Mapping[str, Any], table: dict[str, Any]) -> dict[str, Any]:
    """The older fields that `table` stands for."""
    by_layer = {name: part for name, part in table.items() if isinstance(part, dict)}
    whole = next((by_layer[name] for name in _GLOBAL_LAYERS if name in by_layer), None) if by_layer else table
    fields: dict[str, Any] = {}
    if whole is None:
        whole = next(iter(by_layer.values()))
    if (base := whole.get("rope_theta")) is not None:
        fields.update(dict.fromkeys(_BASES, base))
        if isinstance(attention := config.get("attn_config"), dict):
            fields["attn_config"] = {"rope_theta": base, **attention}  # as dbrx has it
    fields["rope_scaling"] = config.get("rope_scaling") or (
        dict(whole) if scaling_kind(whole) not in UNSCALED else None
    )
    if (local := by_layer.get("sliding_attention", {}).get("rope_theta")) is not None:
        fields.update(dict.fromkeys(_LOCAL_BASES, local))
    if (compressed := by_layer.get("compress", {}).get("rope_theta")) is not None:
        fields["compress_rope_theta"] = compressed
        fields["rope_scaling"] = config.get("rope_scaling") or dict(by_layer["compress"])
    shares = {part.get("partial_rotary_factor") for part in by_layer.values() or [table]}
    if len(shares) == 1 and (share := shares.pop()) is not None:
        fields.update(dict.fromkeys(_SHARES, share))
        if (head_dim := _head_dim(config)) is not None:
            fields["rotary_dim"] = config.get("rotary_dim") or int(head_dim * share)
    return fields


def _whole_scaling(scaling: dict[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """`scaling` under both names of its kind, and with what mlx-lm would take a default of its own for."""
    kind = scaling_kind(scaling)
    if kind is None:
        return scaling
    whole = {**scaling, "type": kind, "rope_type": kind}
    if isinstance(whole.get("factor"), int):
        whole["factor"] = float(whole["factor"])  # some families insist
    if kind in _STRETCHED and whole.get(_ORIGINAL) is None:
        original = config.get(_ORIGINAL) or config.get("max_position_embeddings")
        if original is not None:
            whole[_ORIGINAL] = original
    strength, factor = whole.get("attention_factor"), whole.get("factor")
    if kind == "yarn" and strength is not None and factor and factor > 1 and not whole.get("mscale_all_dim"):
        # mlx-lm's YaRN multiplies by 0.1 mscale ln(factor) + 1 and knows no factor that is given outright.
        whole["mscale"] = (strength - 1.0) / (0.1 * math.log(factor))
    return whole


def scaling_kind(scaling: Mapping[str, Any]) -> Any:
    """Which scaling it is: `yarn`, `llama3`, …; None where it does not say."""
    return scaling.get("rope_type") or scaling.get("type")


def _head_dim(config: Mapping[str, Any]) -> int | None:
    if config.get("head_dim"):
        return int(config["head_dim"])
    hidden, heads = config.get("hidden_size"), config.get("num_attention_heads")
    return int(hidden) // int(heads) if hidden and heads else None
