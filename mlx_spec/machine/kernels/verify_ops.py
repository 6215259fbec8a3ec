"""Verifying in MLX's own operations: what runs without Metal, and what the kernels are held to.

Probabilities of a whole row exist only for the rows that need them: none under `coupled`, one under `token`.
"""

from collections.abc import Sequence
from typing import Final, Literal

import mlx.core as mx

from mlx_spec.acceptance import chain_rules, tree_rules
from mlx_spec.acceptance.chain_rules import Verdict
from mlx_spec.acceptance.tree import TokenTree
from mlx_spec.machine.kernels.proposal import Proposal, Verified
from mlx_spec.machine.kernels.warp import WarpedRows
from mlx_spec.sampling.distribution import log_normaliser
from mlx_spec.sampling.gumbel import gumbel, keyed_noise

ChainRule = Literal["token", "block"]
_TINY: Final = 1e-30
_AT_ONCE: Final = 1 << 18
"""Up to so many scores, 1 MB, are looked at together: beyond, row by row, which takes a fraction of the memory."""


def coupled(
    rows: WarpedRows,
    draft_ids: mx.array,
    keys: Sequence[tuple[int, int]] | None,
    tree: TokenTree | None,
    noise_rows: mx.array | None,
) -> Verified:
    """See `verify.coupled`."""
    values = rows.scores()
    if noise_rows is None and keys is not None:
        noise_rows = mx.stack([keyed_noise(key, rows.vocab_size) for key in keys])
    if tree is None:
        return scored(chain_rules.coupled(values, draft_ids, noise_rows), values, draft_ids, None)
    return scored(tree_rules.coupled_tree(values, draft_ids, tree, noise_rows), values, draft_ids, tree)


def scored(verdict: Verdict, values: mx.array, draft_ids: mx.array, tree: TokenTree | None) -> Verified:
    """What a rule of `acceptance` decided, with log-probabilities by the scores `[rows, vocab]`."""
    normalisers = log_normaliser(values)
    drafted_behind = mx.arange(draft_ids.shape[0]) if tree is None else tree.parent_row
    behind = mx.arange(1, verdict.token_ids.shape[0]) if verdict.path is None else verdict.path
    path = mx.concatenate([mx.array([0]), behind]).astype(mx.int32)
    logprobs = values[path, verdict.token_ids] - normalisers[path]
    drafted = values[drafted_behind, draft_ids] - normalisers[drafted_behind]
    return Verified(verdict.accepted_count, verdict.token_ids, logprobs, path, drafted, normalisers)


def chain(rows: WarpedRows, proposal: Proposal, rule: ChainRule, uniforms: mx.array, keys: mx.array) -> Verified:
    """See `verify.chain`; `uniforms` `[gamma]` and `keys` `[gamma + 1, 2]` are the draws of each position."""
    draft_ids = proposal.token_ids.astype(mx.int32)
    gamma = draft_ids.shape[0]
    target = _Distributions(rows, draft_ids, None)
    draft = None if proposal.rows is None else _Distributions(proposal.rows, draft_ids, proposal.normalisers)
    p_drafted = mx.exp(target.drafted)
    q_drafted = mx.ones((gamma,)) if draft is None else mx.exp(draft.drafted)
    weight = mx.array(1.0)
    if gamma == 0:
        count = mx.array(0, dtype=mx.int32)
    elif rule == "token":
        # Strictly less: a token that p excludes is never accepted, not even at u = 0.
        count = mx.sum(mx.cumprod((uniforms * q_drafted < p_drafted).astype(mx.int32), axis=0)).astype(mx.int32)
    else:
        weights = chain_rules.prefix_weights(p_drafted, q_drafted)
        left = [mx.sum(_residual(target.row(i), draft, draft_ids, i, weights[i])) for i in range(1, gamma)]
        # Behind the last draft nothing is proposed, and the residual's sum is its weight.
        passing = mx.stack([*left, weights[gamma]])
        passing = passing / mx.maximum(passing + (1.0 - weights[1:]), _TINY)
        count = mx.max(mx.where(uniforms < passing, mx.arange(1, gamma + 1), 0)).astype(mx.int32)
        weight = mx.take(weights, count)
    logprobs = target.row(count)
    return _followed(draft_ids, count, logprobs, _residual(logprobs, draft, draft_ids, count, weight), target, keys)


class _Distributions:
    """Log-probabilities of rows, one row at a time, and `drafted` `[gamma]`: of each draft in its row."""

    def __init__(self, rows: WarpedRows, draft_ids: mx.array, normalisers: mx.array | None) -> None:
        self._rows = rows
        if rows.rows * rows.vocab_size <= _AT_ONCE:
            values = rows.scores()
            self.normalisers = log_normaliser(values) if normalisers is None else normalisers
            places = mx.arange(draft_ids.shape[0])
            self.drafted = values[places, draft_ids] - self.normalisers[places]
            return
        found, drafted = [], []
        on_cpu = mx.default_device() != mx.Device(mx.gpu)
        for i in range(rows.rows):
            values = rows.row(i).scores()
            found.append(log_normaliser(values)[0] if normalisers is None else normalisers[i])
            if i < draft_ids.shape[0]:
                drafted.append(values[0, draft_ids[i]] - found[i])
            if on_cpu:
                mx.eval(found[-1], drafted[-1:])  # lets go of the row, so that never two of them exist
        self.normalisers = mx.stack(found)
        self.drafted = mx.stack(drafted) if drafted else mx.zeros((0,))

    def row(self, index: int | mx.array) -> mx.array:
        """Log-probabilities `[vocab]` of one row, of which the number may not be known yet."""
        logits = mx.take(self._rows.logits, mx.array(index), axis=0)[None]
        values = WarpedRows(logits, self._rows.params, self._rows.bias).scores()[0]
        return values - mx.take(self.normalisers, mx.array(index))


def _residual(
    logprobs: mx.array, draft: _Distributions | None, draft_ids: mx.array, index: int | mx.array, weight: mx.array
) -> mx.array:
    """max(0, weight p - q) `[vocab]` of one position; behind the last draft q is 0."""
    gamma, wanted = draft_ids.shape[0], weight * mx.exp(logprobs)
    if gamma == 0:
        return wanted
    at = mx.minimum(mx.array(index), gamma - 1)
    if draft is not None:
        proposed = mx.exp(draft.row(at))
    else:
        proposed = (mx.arange(logprobs.shape[0]) == mx.take(draft_ids, at)).astype(mx.float32)
    return mx.maximum(wanted - mx.where(mx.array(index) < gamma, proposed, 0.0), 0.0)


def _followed(
    draft_ids: mx.array,
    count: mx.array,
    logprobs: mx.array,
    residual: mx.array,
    target: _Distributions,
    keys: mx.array,
) -> Verified:
    """The first `count` drafts, and a token drawn from the residual; from p where rounding emptied it."""
    gamma, vocab_size = draft_ids.shape[0], logprobs.shape[0]
    wanted = mx.where(mx.sum(residual) > 0, residual, mx.exp(logprobs))
    drawn = mx.argmax(mx.log(wanted) + gumbel(mx.take(keys, count, axis=0), vocab_size)).astype(mx.int32)
    places = mx.arange(gamma + 1)
    padded_ids = mx.concatenate([draft_ids, mx.array([-1], dtype=mx.int32)])
    padded_logs = mx.concatenate([target.drafted, mx.zeros((1,))])
    return Verified(
        count,
        mx.where(places == count, drawn, padded_ids),
        mx.where(places == count, mx.take(logprobs, drawn), padded_logs),
        places.astype(mx.int32),
        target.drafted,
        target.normalisers,
    )
