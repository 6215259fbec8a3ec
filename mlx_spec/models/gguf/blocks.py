"""Tensors of a GGUF file in the block formats that MLX does not read: K-quants, IQ and others, by the gguf package."""

import mlx.core as mx
import numpy as np

from mlx_spec.errors import CorruptModelError
from mlx_spec.models.gguf.header import TensorInfo


def block_values(info: TensorInfo) -> mx.array:
    """Return the float32 values of one tensor, of its `shape`. Raises CorruptModelError where they are no numbers."""
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize

    stored = np.memmap(info.path, dtype=np.uint8, mode="r", offset=info.offset, shape=(info.nbytes,))
    rows = stored.reshape(*info.shape[:-1], -1)
    kind = GGMLQuantizationType[info.type_name]
    if info.type_name in ("F32", "F16"):
        values = rows.view(np.float32 if info.type_name == "F32" else np.float16).astype(np.float32)
    else:
        values = dequantize(rows, kind)
    if not np.isfinite(values).all():
        raise CorruptModelError(f"{info.path} is damaged: {info.name} holds values that are no numbers.")
    return mx.array(values.astype(np.float32, copy=False))
