"""Raw logits with what warps them, as the kernels take them: bias, temperature and filters in their order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import mlx.core as mx
import numpy as np

from mlx_spec.config import SamplingParams
from mlx_spec.machine.kernels import dispatch
from mlx_spec.machine.kernels.metal import MetalKernel, Template, threads_for
from mlx_spec.sampling.distribution import scores

# A logit's bits that can differ, in fours: the others are equal for all numbers of the type.
_ROUNDS: Final = {mx.bfloat16: 4, mx.float16: 5, mx.float32: 8}

UNWARPED: Final = SamplingParams(temperature=1.0)
"""Of rows that are scores already."""

THRESHOLDS: Final = MetalKernel(
    name="row_thresholds",
    inputs=("logits", "bias", "scale", "top_k", "top_p", "log_min_p"),
    outputs=("thresholds",),
    headers=("rounding", "reduce", "scores", "keys"),
)


@dataclass(frozen=True, slots=True)
class WarpedRows:
    """Logits `[rows, vocab]` (float32, float16 or bfloat16) and how they become scores.

    `bias` `[vocab]` (float32) is added first, None adds nothing. `thresholds` `[rows]` are the least scores that
    `params`' filters keep, None where nothing is filtered or nobody has looked yet.
    """

    logits: mx.array
    params: SamplingParams
    bias: mx.array | None = None
    thresholds: mx.array | None = None

    @property
    def rows(self) -> int:
        """How many rows."""
        return self.logits.shape[0]

    @property
    def vocab_size(self) -> int:
        """How wide each row is."""
        return self.logits.shape[1]

    @property
    def filters(self) -> bool:
        """Whether top-k, top-p or min-p can remove a token."""
        params = self.params
        some = 0 < params.top_k < self.vocab_size or params.top_p < 1 or params.min_p > 0
        return some and not params.greedy

    @property
    def scale(self) -> float:
        """What logits are multiplied by: 1 at temperature 0, where the argmax is the token."""
        return 1.0 if self.params.greedy else 1.0 / self.params.temperature

    def scores(self) -> mx.array:
        """The scores `[rows, vocab]` in MLX's operations."""
        logits = self.logits if self.bias is None else self.logits.astype(mx.float32) + self.bias
        return scores(logits, self.params)

    def row(self, index: int) -> "WarpedRows":
        """One row by itself."""
        thresholds = None if self.thresholds is None else self.thresholds[index : index + 1]
        return replace(self, logits=self.logits[index : index + 1], thresholds=thresholds)

    def with_thresholds(self) -> "WarpedRows":
        """The same with its thresholds found by the kernel, where there are filters."""
        if not self.filters or self.thresholds is not None:
            return self
        return replace(self, thresholds=_found_thresholds(self))

    def arguments(self) -> list[mx.array]:
        """What kernels take as `logits, bias, scale, thresholds`."""
        assert self.thresholds is not None or not self.filters
        bias = _unused() if self.bias is None else self.bias
        thresholds = _unused() if self.thresholds is None else self.thresholds
        return [self.logits, bias, _one(self.scale), thresholds]

    def template(self) -> dict[str, Template]:
        """What kernels are compiled for."""
        return {"BIASED": self.bias is not None, "FILTERED": self.thresholds is not None}


def warped(logits: mx.array, params: SamplingParams, bias: mx.array | None = None) -> WarpedRows:
    """Logits `[rows, vocab]` for a verify: as they are for the kernels, which warp as they read. MLX's operations write
    the scores down, so there they are written once, for all that look at them."""
    rows = WarpedRows(logits, params, bias)
    if dispatch.serves(rows.rows):
        return rows
    return WarpedRows(rows.scores(), SamplingParams() if params.greedy else UNWARPED)


def _found_thresholds(rows: WarpedRows) -> mx.array:
    params = rows.params
    least = np.log(params.min_p) if params.min_p > 0 else -np.inf
    bias = _unused() if rows.bias is None else rows.bias
    arrays = [rows.logits, bias, _one(rows.scale), mx.array([params.top_k], dtype=mx.uint32)]
    rounds = _ROUNDS[rows.logits.dtype if rows.bias is None else mx.float32]
    return THRESHOLDS(
        [*arrays, _one(params.top_p), _one(float(least))],
        template={"BIASED": rows.bias is not None, "ROUNDS": rounds},
        groups=(rows.rows, 1),
        threads=threads_for(rows.vocab_size, most=1024),
        outputs=[((rows.rows,), mx.float32)],
    )[0]


def key_rows(keys: Sequence[tuple[int, int]]) -> mx.array:
    """Threefry keys `[n, 2]` (uint32)."""
    return mx.array(np.array(keys, dtype=np.uint32).reshape(-1, 2))


def _one(value: float) -> mx.array:
    return mx.array([value], dtype=mx.float32)


def _unused() -> mx.array:
    return _one(0.0)
