"""Which acceptance rule decides a round, over a chain or a tree."""

from dataclasses import dataclass

import mlx.core as mx

from mlx_spec.acceptance import RULES, Verdict, coupled, point_mass
from mlx_spec.config import AcceptanceRule, SamplingParams
from mlx_spec.drafters.base import Draft
from mlx_spec.sampling import NoiseTable, log_distribution
from mlx_spec.tree_acceptance import coupled_tree, token_tree, typical_tree


@dataclass(frozen=True, slots=True)
class Judge:
    """The rules of one request. `params` have a seed, as `noise` has."""

    params: SamplingParams
    noise: NoiseTable

    def verdict(
        self, rule: AcceptanceRule, rows: mx.array, draft: Draft | None, position: int, round_index: int
    ) -> Verdict:
        """Judge a draft by the target's scores `[gamma + 1, vocab]`. `position` is that of the first drafted token.

        A rule that cannot judge trees gets none: see `TREE_RULES`.
        """
        if draft is not None and draft.tree is not None:
            return self._over_tree(rule, rows, draft, position, round_index)
        draft_ids = draft.token_ids if draft else mx.zeros((0,), dtype=mx.int32)
        if self.params.greedy:
            return coupled(rows, draft_ids, None)
        if rule == "coupled":
            return coupled(rows, draft_ids, self.noise.rows(position, draft_ids.shape[0] + 1))
        if draft is None or draft.scores is None or draft.greedy:
            log_q = point_mass(draft_ids, rows.shape[-1])
        else:
            log_q = log_distribution(draft.scores)
        assert self.params.seed is not None
        judged = RULES[rule]
        return judged(
            log_distribution(rows), log_q, draft_ids, seed=self.params.seed, position=position, salt=round_index
        )

    def _over_tree(
        self, rule: AcceptanceRule, rows: mx.array, draft: Draft, position: int, round_index: int
    ) -> Verdict:
        tree, seed = draft.nodes, self.params.seed
        assert seed is not None
        if self.params.greedy:
            return coupled_tree(rows, draft.token_ids, tree, None)
        if rule == "coupled":
            return coupled_tree(rows, draft.token_ids, tree, self.noise.rows(position, tree.depth + 1))
        log_p = log_distribution(rows)
        if rule == "typical":
            return typical_tree(log_p, draft.token_ids, tree, seed=seed, position=position, salt=round_index)
        assert rule == "token", f"{rule} does not judge trees"
        log_q = None if draft.scores is None or draft.greedy else log_distribution(draft.scores)
        return token_tree(log_p, log_q, draft.token_ids, tree, seed=seed, position=position, salt=round_index)
