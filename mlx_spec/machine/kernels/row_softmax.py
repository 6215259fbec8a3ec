"""Row statistics, sampling and softmax over logits `[rows, vocab]`, from one read of the logits.

A row is split over several threadgroups, each of which leaves a (maximum, sum of exponentials) and, where a token is
drawn, the best score + noise of its part; a second launch folds them. Nothing is sorted, and probabilities are
written only where they are asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import mlx.core as mx

from mlx_spec.config import SamplingParams
from mlx_spec.machine.kernels import dispatch
from mlx_spec.machine.kernels.metal import MetalKernel, Template, threads_for
from mlx_spec.machine.kernels.warp import WarpedRows, key_rows
from mlx_spec.sampling.distribution import log_normaliser
from mlx_spec.sampling.gumbel import keyed_noise

_PARTIAL_TOKENS: Final = 4096
"""Tokens of a split: fewer would cost more in folding than they spread. One row of 150,000 makes 37, for half the cores
of the widest GPU."""

PARTIALS: Final = MetalKernel(
    name="row_partials",
    inputs=("logits", "bias", "scale", "thresholds", "keys"),
    outputs=("sums", "best_values", "best_ids"),
    headers=("rounding", "scores", "noise", "reduce"),
)
FINISH: Final = MetalKernel(
    name="row_finish",
    inputs=(
        *("logits", "bias", "scale", "thresholds", "sums", "best_values", "best_ids"),
        *("draft_ids", "parents"),
    ),
    outputs=(
        *("picked_ids", "picked_logprobs", "normalisers"),
        *("accepted", "token_ids", "logprobs", "path", "draft_logprobs"),
    ),
    headers=("rounding", "reduce", "scores"),
)
WRITE: Final = MetalKernel(
    name="row_write",
    inputs=("logits", "bias", "scale", "thresholds", "sums"),
    outputs=("written",),
    headers=("rounding", "reduce", "scores"),
)


@dataclass(frozen=True, slots=True)
class Sampled:
    """A token `[rows]` (int32) of each row with its log-probability `[rows]`, and each row's `normalisers` `[rows]`:
    log Σ exp of the scores. `rows` are the logits with the thresholds that were found."""

    token_ids: mx.array
    logprobs: mx.array
    normalisers: mx.array
    rows: WarpedRows


@dataclass(frozen=True, slots=True)
class Partials:
    """Of each split of each row `[rows, splits]`: `sums` `[…, 2]` and the best token, as a launch leaves them."""

    sums: mx.array
    best_values: mx.array
    best_ids: mx.array


def sample(rows: WarpedRows, keys: Sequence[tuple[int, int]] | None) -> Sampled:
    """Draw a token of each row: argmax(score + noise), an exact sample; the noise is a function of the row's key.

    `keys` None takes the largest score: greedy rows have no noise. Lazy on a GPU.
    """
    if dispatch.serves(rows.rows):
        rows = rows.with_thresholds()
        found = finish(rows, partials(rows, keys))
        return Sampled(found["picked_ids"], found["picked_logprobs"], found["normalisers"], rows)
    values = rows.scores()
    noisy = values if keys is None else values + mx.stack([keyed_noise(key, rows.vocab_size) for key in keys])
    token_ids = mx.argmax(noisy, axis=-1).astype(mx.int32)
    normalisers = log_normaliser(values)
    logprobs = mx.take_along_axis(values, token_ids[:, None], axis=-1)[:, 0] - normalisers
    return Sampled(token_ids, logprobs, normalisers, rows)


def row_normalisers(rows: WarpedRows) -> mx.array:
    """log Σ exp `[rows]` of the scores."""
    if dispatch.serves(rows.rows):
        rows = rows.with_thresholds()
        return finish(rows, partials(rows, None))["normalisers"]
    return log_normaliser(rows.scores())


def softmax(logits: mx.array, dtype: mx.Dtype = mx.float32) -> mx.array:
    """Probabilities `[rows, vocab]` of logits, computed in float32. A row of nothing but -inf has none: NaN."""
    return _written(WarpedRows(logits, SamplingParams()), dtype, logarithms=False)


def log_softmax(logits: mx.array, dtype: mx.Dtype = mx.float32) -> mx.array:
    """Log-probabilities `[rows, vocab]` of logits, computed in float32."""
    return _written(WarpedRows(logits, SamplingParams()), dtype, logarithms=True)


def probabilities(rows: WarpedRows, dtype: mx.Dtype = mx.float32) -> mx.array:
    """The warped distribution `[rows, vocab]`; at temperature 0 the softmax of the logits."""
    return _written(rows, dtype, logarithms=False)


def _written(rows: WarpedRows, dtype: mx.Dtype, *, logarithms: bool) -> mx.array:
    if not dispatch.serves():
        values = rows.scores()
        values = values - mx.max(values, axis=-1, keepdims=True)  # large scores have no digits to lose
        logs = values - mx.logsumexp(values, axis=-1, keepdims=True)
        return (logs if logarithms else mx.exp(logs)).astype(dtype)
    rows = rows.with_thresholds()
    sums = partials(rows, None, pick=False).sums
    threads = threads_for(rows.vocab_size)
    return WRITE(
        [*rows.arguments(), sums],
        template=rows.template() | {"T": dtype, "LOGARITHMS": logarithms},
        groups=(-(-rows.vocab_size // threads), rows.rows),
        threads=threads,
        outputs=[((rows.rows, rows.vocab_size), dtype)],
    )[0]


def splits_for(vocab_size: int) -> int:
    """Threadgroups that share a row: never by the number of rows, as a row's sum is added up split by split."""
    return max(1, -(-vocab_size // _PARTIAL_TOKENS))


def partials(rows: WarpedRows, keys: Sequence[tuple[int, int]] | None, *, pick: bool = True) -> Partials:
    """The first launch: reads each logit once. Metal only."""
    splits = splits_for(rows.vocab_size)
    template: dict[str, Template] = {"PICK": pick, "NOISY": keys is not None}
    shape = (rows.rows, splits)
    outputs = PARTIALS(
        [*rows.arguments(), key_rows(keys if keys is not None else [(0, 0)])],
        template=rows.template() | template,
        groups=(splits, rows.rows),
        threads=threads_for(-(-rows.vocab_size // (2 * splits))),
        outputs=[((*shape, 2), mx.float32), (shape, mx.float32), (shape, mx.uint32)],
    )
    return Partials(*outputs)


def finish(
    rows: WarpedRows, parts: Partials, draft_ids: mx.array | None = None, parents: mx.array | None = None
) -> dict[str, mx.array]:
    """The second launch: the token of each row, and the drafts that stand. Metal only.

    Node i of `draft_ids` `[rows - 1]` is scored by row i + 1 and was drafted behind row `parents[i]`. Returns the
    outputs by name: `picked_ids`, `picked_logprobs`, `normalisers` for each row; `accepted` `[1]`; along the accepted
    path `token_ids`, `logprobs` and `path` `[rows]` (row numbers), -1 behind its end; `draft_logprobs` for each node.
    """
    count = rows.rows
    drafted = draft_ids is not None and parents is not None and count > 1
    nothing = mx.array([-1], dtype=mx.int32)
    if draft_ids is None or parents is None or not drafted:
        draft_ids = parents = nothing
    outputs = FINISH(
        [
            *rows.arguments(),
            *(parts.sums, parts.best_values, parts.best_ids),
            *(draft_ids, parents),
        ],
        template=rows.template() | {"DRAFTED": drafted, "MOST_ROWS": dispatch.MOST_ROWS},
        groups=(1, 1),
        threads=threads_for(32 * count, most=1024),
        outputs=[
            *(((count,), mx.int32), ((count,), mx.float32), ((count,), mx.float32)),
            *(((1,), mx.int32), ((count,), mx.int32), ((count,), mx.float32), ((count,), mx.int32)),
            ((max(count - 1, 1),), mx.float32),
        ],
    )
    return dict(zip(FINISH.outputs, outputs, strict=True))
