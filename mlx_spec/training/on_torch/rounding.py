"""`rounded_weights` for PyTorch. Imported only for `--trainer torch`."""

from collections.abc import Iterator
from contextlib import contextmanager

import mlx.core as mx
import numpy as np
import torch
from torch import nn

from mlx_spec.training.rounding import Rounding


@contextmanager
def rounded_weights(module: nn.Module, rounding: Rounding | None) -> Iterator[None]:
    """For a while the module's matrices are rounded, by MLX as in the export, where a rounding is given; then they are
    what they were."""
    if rounding is None:
        yield
        return
    matrices = {name: weight for name, weight in module.named_parameters() if weight.ndim == 2}
    floats = {name: weight.detach().clone() for name, weight in matrices.items()}
    with torch.no_grad():
        for name, weight in matrices.items():
            weight.copy_(torch.from_numpy(np.array(rounding.rounded(name, mx.array(floats[name].numpy())))))
    try:
        yield
    finally:
        with torch.no_grad():
            for name, weight in matrices.items():
                weight.copy_(floats[name])
