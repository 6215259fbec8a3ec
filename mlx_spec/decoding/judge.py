"""Which acceptance rule decides a round, over a chain or a tree."""

from dataclasses import dataclass, replace

import mlx.core as mx

from mlx_spec.config import AcceptanceRule, SamplingParams
from mlx_spec.decoding.drafters.base import Draft
from mlx_spec.machine.kernels import dispatch, tree_verify, verify
from mlx_spec.machine.kernels.nearest_tie import margins
from mlx_spec.machine.kernels.proposal import Proposal, Verified
from mlx_spec.machine.kernels.row_softmax import row_normalisers
from mlx_spec.machine.kernels.warp import UNWARPED, WarpedRows
from mlx_spec.sampling.gumbel import NoiseTable, stream_key


def proposal_of(draft: Draft | None) -> Proposal:
    """A draft as the rules take it; its scores are warped already."""
    if draft is None:
        return Proposal(mx.zeros((0,), dtype=mx.int32))
    if draft.scores is None:
        return Proposal(draft.token_ids)
    rows = WarpedRows(draft.scores, UNWARPED)
    return Proposal(draft.token_ids, rows, row_normalisers(rows))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The target's rows of a round, the proposal that they judge, and what becomes of it; lazy."""

    rows: WarpedRows
    proposal: Proposal
    verified: Verified
    margins: mx.array | None = None
    """By how much each row's token beats the next best `[rows]`; None where nobody asks, or where that decides
    nothing."""


@dataclass(frozen=True, slots=True)
class Judge:
    """The rules of one request. `params` have a seed, as `noise` has. With `tells_margins` a verdict says how near each
    row came to another token."""

    params: SamplingParams
    noise: NoiseTable
    tells_margins: bool = False

    def verdict(
        self,
        rule: AcceptanceRule,
        rows: WarpedRows,
        draft: Draft | None,
        position: int,
        round_index: int,
    ) -> Verdict:
        """Judge a draft by the target's rows, gamma + 1 of them. `position` is that of the first drafted token.

        A rule that cannot judge trees gets none: see `TREE_RULES`.
        """
        proposal = proposal_of(draft)
        if dispatch.serves(rows.rows) and rule != "typical":
            rows = rows.with_thresholds()  # once, for all that look at them
        verified = self._verified(rule, rows, draft, proposal, position, round_index)
        return Verdict(rows, proposal, verified, self._margins(rule, rows, draft, position))

    def _margins(self, rule: AcceptanceRule, rows: WarpedRows, draft: Draft | None, position: int) -> mx.array | None:
        if not self.tells_margins or not (self.params.greedy or rule == "coupled"):
            return None
        if self.params.greedy:
            return margins(rows, None)
        tree = draft.tree if draft else None
        count = tree.depth + 1 if tree else rows.rows
        return margins(rows, self.noise.rows(position, count), tree.depths if tree else None)

    def _verified(
        self,
        rule: AcceptanceRule,
        rows: WarpedRows,
        draft: Draft | None,
        proposal: Proposal,
        position: int,
        round_index: int,
    ) -> Verified:
        ids, tree, seed = proposal.token_ids, draft.tree if draft else None, self.params.seed
        assert seed is not None
        if self.params.greedy:
            return verify.coupled(rows, ids, None, tree=tree)
        if rule == "coupled":
            count = (tree.depth if tree else ids.shape[0]) + 1
            if dispatch.serves(rows.rows):
                keys = [stream_key(seed, position + i) for i in range(count)]
                return verify.coupled(rows, ids, keys, tree=tree)
            # Where kernels do not serve, drafting wrote this noise down already.
            return verify.coupled(rows, ids, None, tree=tree, noise_rows=self.noise.rows(position, count))
        if rule == "typical":
            return verify.typical(rows, ids, tree, seed=seed, position=position, salt=round_index)
        if draft is not None and draft.greedy:
            proposal = replace(proposal, rows=None, normalisers=None)
        if tree is None:
            return verify.chain(rows, proposal, rule=rule, seed=seed, position=position, salt=round_index)
        assert rule == "token", f"{rule} does not judge trees"
        return tree_verify.token_tree(rows, proposal, tree, seed=seed, position=position, salt=round_index)
