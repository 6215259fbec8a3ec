"""The teacher for distilling: of each answer position, the target's likeliest tokens and their probabilities.

`top_ids` `[n, 64]` and `top_p` `[n, 64]` hold about 93 % of the mass on SmolLM2's own answers; the loss puts all other
tokens into one bucket, so nothing is renormalised. They are found once per shard, from the kept hidden states.
"""

from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from mlx_spec.training.corpus import read_hidden, shard_paths, top_path, write_arrays

TOP = 64
CHUNK = 256

Likeliest = tuple[NDArray[np.uint32], NDArray[np.float32]]
FindLikeliest = Callable[[NDArray[np.uint16]], Likeliest]
"""Hidden states `[n, hidden]` (bfloat16 bits) → ids `[n, k]` and probabilities `[n, k]`, k at most TOP."""


def mlx_likeliest(embedding: mx.array) -> FindLikeliest:
    """Find them with MLX, for the target's tied embedding `[vocab, hidden]`."""
    count = min(TOP, embedding.shape[0] - 1)

    def find(bits: NDArray[np.uint16]) -> Likeliest:
        logits = mx.array(bits).view(mx.bfloat16).astype(embedding.dtype) @ embedding.T
        ids = mx.argpartition(-logits, count, axis=-1)[:, :count]
        p = mx.softmax(logits.astype(mx.float32), axis=-1)
        return np.array(ids), np.array(mx.take_along_axis(p, ids, axis=-1))

    return find


def condense(folder: Path, find: FindLikeliest, report: Callable[[], None]) -> None:
    """Write the teacher's file beside every shard that has none yet."""
    for path in shard_paths(folder):
        if top_path(path).exists():
            continue
        hidden = read_hidden(path)
        parts = [find(hidden[start : start + CHUNK]) for start in range(0, len(hidden), CHUNK)]
        ids, p = (np.concatenate(column) for column in zip(*parts, strict=True))
        write_arrays(top_path(path), {"ids": ids.astype(np.uint32), "p": p.astype(np.float16)})
        report()
