"""How positions are rotated, from a GGUF file's fields and its tensors of factors to mlx-lm's `rope_scaling`."""

import math
from typing import Any, Final

import numpy as np

from mlx_spec.errors import UnsupportedModelError
from mlx_spec.models.gguf.blocks import block_values
from mlx_spec.models.gguf.header import GGUFHeader
from mlx_spec.models.gguf.shape import ModelShape

# A file of Llama 3.1 and later holds the factors that follow from these; mlx-lm wants these themselves.
_LLAMA3: Final = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
# Fields by which a file asks for another curve than YaRN's usual one.
_UNUSUAL_YARN: Final = ("yarn_log_multiplier", "yarn_ext_factor", "yarn_attn_factor")
_TOLERANCE: Final = 1e-3


def rope_settings(header: GGUFHeader, shape: ModelShape) -> dict[str, Any]:
    """Return `rope_theta`, and `rope_scaling` where there is any. Raises UnsupportedModelError for unknown kinds."""
    name = header.text("general.architecture")
    settings: dict[str, Any] = {"rope_theta": header.number(f"{name}.rope.freq_base", 10000.0)}
    scaling = _scaling(header, name, shape, settings["rope_theta"])
    if scaling is not None:
        settings["rope_scaling"] = scaling
    if name == "phi3":
        settings["original_max_position_embeddings"] = _original_context(header, name)
        settings["partial_rotary_factor"] = shape.rotated / shape.head_dim
    return settings


def _scaling(header: GGUFHeader, name: str, shape: ModelShape, base: float) -> dict[str, Any] | None:
    factor = header.number(f"{name}.rope.scaling.factor", header.number(f"{name}.rope.scale_linear", 1.0))
    kind = header.text(f"{name}.rope.scaling.type", "linear" if factor != 1.0 else "none")
    if "rope_factors_long.weight" in header.tensors and name == "phi3":
        return _longrope(header, name)
    if "rope_freqs.weight" in header.tensors and kind == "none" and name in ("llama", "qwen2", "qwen3"):
        return _llama3(header, shape, base)
    if any(tensor.startswith("rope_") for tensor in header.tensors):
        raise _unknown(header, "tensor of factors")
    if kind == "none" or (kind == "linear" and factor == 1.0):
        return None
    if name in ("gemma2", "phi3"):
        raise _unknown(header, kind)
    if kind == "linear":
        return {"rope_type": "linear", "factor": factor}
    unusual = any(f"{name}.rope.scaling.{key}" in header.metadata for key in _UNUSUAL_YARN)
    if kind == "yarn" and name != "gemma3" and not unusual:
        original = _original_context(header, name)
        return {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original}
    raise _unknown(header, kind)


def _original_context(header: GGUFHeader, name: str) -> int:
    return header.integer(f"{name}.rope.scaling.original_context_length", header.integer(f"{name}.context_length"))


def _longrope(header: GGUFHeader, name: str) -> dict[str, Any]:
    """Phi-3's: mlx-lm takes the factors of long texts at every length, and its own formula for the magnitude."""
    if "rope_factors_short.weight" not in header.tensors:
        raise _unknown(header, "longrope without short factors")
    stretch = header.integer(f"{name}.context_length") / _original_context(header, name)
    usual = 1.0 if stretch <= 1 else math.sqrt(1 + math.log(stretch) / math.log(_original_context(header, name)))
    if abs(header.number(f"{name}.rope.scaling.attn_factor", usual) - usual) > _TOLERANCE:
        raise _unknown(header, "longrope with its own attention factor")
    long, short = (_factors(header, f"rope_factors_{length}.weight") for length in ("long", "short"))
    return {"rope_type": "longrope", "type": "longrope", "long_factor": long, "short_factor": short}


def _llama3(header: GGUFHeader, shape: ModelShape, base: float) -> dict[str, Any] | None:
    """Find the settings that the file's factors come from, `[rotated / 2]` of them, by trying the usual ones."""
    factors = np.array(_factors(header, "rope_freqs.weight"))
    if np.allclose(factors, 1.0):
        return None
    low, high, original = _LLAMA3.values()
    factor = float(factors.max())
    wavelengths = 2 * np.pi * base ** (np.arange(0, shape.rotated, 2) / shape.rotated)
    smooth = np.clip((original / wavelengths - low) / (high - low), 0.0, 1.0)
    if not np.allclose(1 / ((1 - smooth) / factor + smooth), factors, rtol=_TOLERANCE):
        raise _unknown(header, "table of factors that are not Llama 3's")
    return {"rope_type": "llama3", "factor": factor} | _LLAMA3


def _factors(header: GGUFHeader, tensor: str) -> list[float]:
    return [float(value) for value in np.array(block_values(header.tensors[tensor]))]


def _unknown(header: GGUFHeader, kind: str) -> UnsupportedModelError:
    return UnsupportedModelError(f"{header.path} needs rope scaling of the kind '{kind}', which is not known.")
