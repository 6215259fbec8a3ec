"""`token` over trees, straight from logits, in two launches: row statistics, then the walk.

Its fallback is `tree_rules.token_tree`. (`coupled` needs no kernel of its own for trees: see `verify.coupled`.)
"""

from typing import Final

import mlx.core as mx

from mlx_spec.acceptance import tree_rules
from mlx_spec.acceptance.tree import TokenTree
from mlx_spec.machine.kernels import dispatch
from mlx_spec.machine.kernels.metal import MetalKernel, threads_for
from mlx_spec.machine.kernels.proposal import Proposal, Verified
from mlx_spec.machine.kernels.row_softmax import partials
from mlx_spec.machine.kernels.verify import DRAFT, HEADERS, TARGET, draft_inputs
from mlx_spec.machine.kernels.verify_ops import scored
from mlx_spec.machine.kernels.warp import WarpedRows, key_rows
from mlx_spec.sampling.distribution import log_distribution
from mlx_spec.sampling.gumbel import Stream, stream_key, threefry

_MOST_CHILDREN: Final = 8

DECIDE: Final = MetalKernel(
    "tree_decide",
    (*TARGET, *DRAFT, "children", "uniforms", "keys"),
    ("accepted", "token_ids", "logprobs", "path", "draft_logprobs"),
    (*HEADERS, "siblings"),
)


def serves(tree: TokenTree) -> bool:
    """Whether the kernel runs here for such a tree."""
    return tree.size > 0 and tree.branching <= _MOST_CHILDREN and dispatch.serves(tree.size + 1)


def token_tree(
    rows: WarpedRows, proposal: Proposal, tree: TokenTree, *, seed: int, position: int, salt: int = 0
) -> Verified:
    """Verify a tree as `tree_rules.token_tree` does.

    `rows` are of the nodes, `[size + 1, vocab]`; row i of the proposal is the distribution that drafted token i and its
    siblings were drawn from, without replacement. Of the result `token_ids` and `logprobs` are `[depth + 1]`, and so is
    `path`: the accepted nodes behind the root, 0.
    """
    if not serves(tree):
        return _by_rule(rows, proposal, tree, seed, position, salt)
    rows = rows.with_thresholds()
    sums = partials(rows, None, pick=False).sums
    arrays, template = draft_inputs(rows, proposal, sums)
    uniforms, keys = [], []
    for depth in range(tree.depth + 1):
        keys.append(stream_key(seed, position + depth, Stream.RECOVER, salt))
        drawn = stream_key(seed, position + depth, Stream.ACCEPT, salt)
        uniforms.append([(threefry(drawn, (place, 0))[0] >> 8) * 2.0**-24 for place in range(tree.branching)])
    emitted = tree.depth + 1
    outputs = DECIDE(
        [*arrays, tree.child_table, mx.array(uniforms[: tree.depth], dtype=mx.float32), key_rows(keys)],
        template=template | {"MOST_CHILDREN": _MOST_CHILDREN},
        groups=(1, 1),
        threads=threads_for(-(-rows.vocab_size // 2), most=1024),
        outputs=[
            *(((1,), mx.int32), ((emitted,), mx.int32), ((emitted,), mx.float32), ((emitted,), mx.int32)),
            ((tree.size,), mx.float32),
        ],
    )
    accepted, token_ids, logprobs, path, draft_logprobs = outputs
    return Verified(accepted.reshape(()), token_ids, logprobs, path, draft_logprobs)


def _by_rule(rows: WarpedRows, proposal: Proposal, tree: TokenTree, seed: int, position: int, salt: int) -> Verified:
    values, ids = rows.scores(), proposal.token_ids
    log_q = None if proposal.rows is None else log_distribution(proposal.rows.scores())
    verdict = tree_rules.token_tree(log_distribution(values), log_q, ids, tree, seed=seed, position=position, salt=salt)
    return scored(verdict, values, ids, tree)
