"""The one place that chooses between a Metal kernel and its fallback in MLX's operations.

`MLX_SPEC_KERNELS=off` forces the fallback everywhere. On an NVIDIA GPU, where no kernel has ever run, fallbacks serve
unless `MLX_SPEC_KERNELS=cuda` asks for those that were written for it too.
"""

import os
from dataclasses import dataclass
from typing import Final

import mlx.core as mx

SWITCH: Final = "MLX_SPEC_KERNELS"
MOST_ROWS: Final = 128
"""Rows that one verify may have: what the kernels keep of each row stands in threadgroup memory."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Whether kernels run here, and why, as a sentence."""

    metal: bool
    why: str


def choice() -> Choice:
    """What this process would do now, on MLX's default device."""
    if os.environ.get(SWITCH, "").lower() == "off":
        return Choice(False, f"{SWITCH}=off is set, so MLX's own operations serve.")
    if not mx.metal.is_available():
        return Choice(False, "MLX finds no Metal here, so its own operations serve on the CPU.")
    if mx.default_device() != mx.Device(mx.gpu):
        return Choice(False, "MLX's default device is the CPU, so its own operations serve.")
    return Choice(True, "MLX computes on the GPU, through Metal.")


def multiplies() -> bool:
    """Whether products run as a kernel here: on Metal, and on CUDA where that was asked for."""
    on_gpu = mx.default_device() == mx.Device(mx.gpu)
    asked = on_gpu and os.environ.get(SWITCH, "").lower() == "cuda" and mx.cuda.is_available()
    return serves() or asked


def serves(rows: int = 1) -> bool:
    """Whether a kernel over so many rows runs on Metal here."""
    return rows <= MOST_ROWS and choice().metal
