"""What a verify is given of a draft, and what it gives back."""

from dataclasses import dataclass

import mlx.core as mx

from mlx_spec.machine.kernels.warp import WarpedRows


@dataclass(frozen=True, slots=True)
class Proposal:
    """Drafted `token_ids` `[gamma]` (int32), and the logits `[gamma, vocab]` they were drawn from; None for a draft
    without a distribution, whose q is a point mass.

    `normalisers` `[gamma]` were left by drawing them (`row_softmax.sample`); None computes them again. The rows share
    the target's bias.
    """

    token_ids: mx.array
    rows: WarpedRows | None = None
    normalisers: mx.array | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """Lazy result. The first `accepted_count + 1` of `token_ids` and `logprobs` `[gamma + 1]` are the round's tokens
    and the target's log-probabilities of them; the rest has no meaning.

    `path` `[gamma + 1]` are the rows that scored them: 0, 1, 2… for a chain. Of a tree these three may be as short as
    its longest path. `draft_logprobs` `[gamma]` are the target's of all drafts, each in its place.
    """

    accepted_count: mx.array
    token_ids: mx.array
    logprobs: mx.array
    path: mx.array
    draft_logprobs: mx.array
    normalisers: mx.array | None = None
    """log Σ exp of every row's scores `[rows]`, where they came about."""
