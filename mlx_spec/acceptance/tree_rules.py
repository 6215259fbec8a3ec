"""Acceptance rules for trees: which path of drafted tokens stands, and which token follows it. Pure functions.

The tree forms of `chain_rules`. `coupled` needs nothing more than a chain: a child is the target's token or it
is not. `token` tries siblings in turn, each against what the ones before it left of p: recursive rejection (Miao et al.
2024, SpecInfer, arXiv 2305.09781, Algorithm 2; without replacement: Jeon et al. 2024, arXiv 2402.14160). `typical` is
as lossy as for chains. `block` judges chains only.
"""

from typing import Final

import mlx.core as mx

from mlx_spec.acceptance.chain_rules import Verdict, least_plausible, recovery_keys
from mlx_spec.acceptance.tree import TokenTree
from mlx_spec.config import AcceptanceRule
from mlx_spec.sampling.gumbel import Stream, gumbel, stream_key, threefry

TREE_RULES: Final[tuple[AcceptanceRule, ...]] = ("coupled", "token", "typical")
"""The rules that can judge a tree."""


def coupled_tree(target_scores: mx.array, draft_ids: mx.array, tree: TokenTree, noise_rows: mx.array | None) -> Verdict:
    """Accept the path of the target's own tokens, as far as the tree has it.

    `target_scores` `[size + 1, vocab]` need not be normalised: row i comes after node i. `draft_ids` `[size]`;
    `noise_rows` `[depth + 1, vocab]` is the noise of the positions, None at temperature 0. Siblings are different
    tokens.
    """
    noisy = target_scores if noise_rows is None else target_scores + noise_rows[tree.depth_row]
    target_ids = mx.argmax(noisy, axis=-1).astype(mx.int32)
    right = target_ids[tree.parent_row] == draft_ids
    return _deepest(tree, right, draft_ids, target_ids)


def typical_tree(
    log_p: mx.array, draft_ids: mx.array, tree: TokenTree, *, seed: int, position: int, salt: int = 0
) -> Verdict:
    """Cai et al. 2024: of the paths that the target finds plausible throughout, the longest. Lossy.

    `log_p` `[size + 1, vocab]` is normalised; `position` is that of the first draft. The next token is a sample of p.
    """
    least = least_plausible(log_p)
    parents = tree.parent_row
    drafted_p = mx.exp(mx.take_along_axis(log_p[parents], draft_ids[:, None], axis=-1)[:, 0])
    keys = recovery_keys(tree.depth + 1, seed, position, salt)
    noise_rows = mx.stack([gumbel(keys[i], log_p.shape[-1]) for i in range(tree.depth + 1)])
    next_ids = mx.argmax(log_p + noise_rows[tree.depth_row], axis=-1).astype(mx.int32)
    return _deepest(tree, drafted_p > least[parents], draft_ids, next_ids)


def token_tree(
    log_p: mx.array,
    log_q: mx.array | None,
    draft_ids: mx.array,
    tree: TokenTree,
    *,
    seed: int,
    position: int,
    salt: int = 0,
) -> Verdict:
    """Try each node's children in turn: accept x with min(1, r(x) / q(x)), r being what is left of p; on a rejection r
    becomes max(0, r - q), and q loses x, both normalised. Where no child is left, the next token is drawn from r.

    `log_p` `[size + 1, vocab]` and `log_q` `[size, vocab]` are normalised. Row i of `log_q` is the whole distribution
    of which the i-th drafted token and its siblings were drawn *without replacement*, in their order, with a stream
    other than ACCEPT and RECOVER; which nodes have how many children must not hang on what was drawn. None is for trees
    that were not drawn at all (the k best, an n-gram's): then q is a point mass on each child. `position` and `salt` as
    in `Rule`.
    """
    walk = _Walk(mx.exp(log_p), None if log_q is None else mx.exp(log_q), draft_ids, tree)
    for depth in range(tree.depth):
        key = stream_key(seed, position + depth, Stream.ACCEPT, salt)
        uniforms = [(threefry(key, (place, 0))[0] >> 8) * 2.0**-24 for place in range(tree.branching)]
        walk.step(uniforms)
    keys = recovery_keys(tree.depth + 1, seed, position, salt)
    drawn = mx.log(walk.residual) + gumbel(mx.take(keys, walk.count, axis=0), log_p.shape[-1])
    recovered = mx.argmax(drawn).astype(mx.int32)
    path = mx.stack(walk.path) if walk.path else mx.zeros((0,), dtype=mx.int32)
    return _followed(path, walk.count, draft_ids, recovered)


class _Walk:
    """From the root down, one depth a step, lazily: `node` is the deepest that was accepted, `residual` what the next
    token would be drawn from."""

    def __init__(self, p_rows: mx.array, q_rows: mx.array | None, draft_ids: mx.array, tree: TokenTree) -> None:
        self._p, self._q, self._ids, self._tree = p_rows, q_rows, draft_ids, tree
        self.node = mx.array(0, dtype=mx.int32)
        self.count = mx.array(0, dtype=mx.int32)
        self.path: list[mx.array] = []
        self.residual = p_rows[0]
        self._going = mx.array(True)

    def step(self, uniforms: list[float]) -> None:
        """Try the children of `node`, each with its uniform number."""
        children = self._tree.child_table[self.node]
        left = self.residual
        q = None if self._q is None else mx.take(self._q, mx.maximum(children[0] - 1, 0), axis=0)
        found = mx.array(0, dtype=mx.int32)
        for place, uniform in enumerate(uniforms):
            child = children[place]
            token_id = mx.take(self._ids, mx.maximum(child - 1, 0))
            proposed = (mx.arange(left.shape[0]) == token_id).astype(mx.float32) if q is None else q
            # Where fewer tokens have any q than there are siblings, the last of them were not drawn.
            drawn = mx.take(proposed, token_id) > 0
            tried = mx.logical_and(mx.logical_and(child > 0, found == 0), drawn)
            # Strictly less: a token of which nothing is left is never accepted, not even at u = 0.
            stands = mx.logical_and(tried, uniform * mx.take(proposed, token_id) < mx.take(left, token_id))
            found = mx.where(stands, child, found)
            rejected = mx.logical_and(tried, mx.logical_not(stands))
            left = mx.where(rejected, _normalised(mx.maximum(left - proposed, 0.0), left), left)
            if q is not None:
                without = mx.where(mx.arange(q.shape[0]) == token_id, 0.0, q)
                q = mx.where(rejected, _normalised(without, q), q)
        moves = mx.logical_and(self._going, found > 0)
        self.residual = mx.where(self._going, mx.where(found > 0, mx.take(self._p, found, axis=0), left), self.residual)
        self.path.append(mx.where(moves, found, 0))
        self.node = mx.where(moves, found, self.node)
        self.count = self.count + moves.astype(mx.int32)
        self._going = moves


def _normalised(mass: mx.array, otherwise: mx.array) -> mx.array:
    """`mass` `[vocab]` with a sum of 1. Rounding can empty it where it should have little: then `otherwise`."""
    total = mx.sum(mass)
    return mx.where(total > 0, mass / mx.maximum(total, 1e-30), otherwise)


def _deepest(tree: TokenTree, right: mx.array, draft_ids: mx.array, next_ids: mx.array) -> Verdict:
    """The longest path of nodes that are all `right` `[size]`; `next_ids` `[size + 1]` would follow each node."""
    fine = mx.concatenate([mx.array([True]), right])
    standing = mx.all(mx.logical_or(fine[None], mx.logical_not(tree.seen)), axis=-1)
    deepest = mx.argmax(mx.where(standing, tree.depth_row, -1)).astype(mx.int32)
    levels = mx.arange(1, tree.depth + 1)[:, None]
    on_path = mx.logical_and(tree.seen[deepest][None], tree.depth_row[None] == levels)
    path = mx.argmax(on_path, axis=-1).astype(mx.int32)
    return _followed(path, tree.depth_row[deepest], draft_ids, next_ids[deepest])


def _followed(path: mx.array, count: mx.array, draft_ids: mx.array, next_id: mx.array) -> Verdict:
    """The tokens of the first `count` nodes of `path` `[depth]`, and the one after them."""
    depth = path.shape[0]
    on_path = mx.take(draft_ids.astype(mx.int32), mx.maximum(path - 1, 0))
    drafted = mx.concatenate([on_path, mx.zeros((1,), dtype=mx.int32)])
    return Verdict(count.astype(mx.int32), mx.where(mx.arange(depth + 1) == count, next_id, drafted), path)
