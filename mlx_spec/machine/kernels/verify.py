"""Which drafted tokens stand and what follows them, straight from logits, for one host read a round.

- `coupled` (and plain decoding: no drafts): one pass over the logits and a folding launch, for chains and trees.
- `chain` under `token` and `block`: row statistics, then a launch that tests all drafts and draws the next token from
  the one row that decides. `block` sums up residuals in between, which needs a launch of its own; a wide vocabulary
  is split over threadgroups in the last step, which a small launch folds.

Kernel and fallback draw the same noise and uniforms, so they give the same tokens; a difference needs two candidates
that are tied to the last digits of a logarithm. The fallback never holds probabilities of all positions either.
"""

from collections.abc import Sequence
from typing import Final

import mlx.core as mx

from mlx_spec.acceptance import chain_rules, tree_rules
from mlx_spec.acceptance.tree import TokenTree
from mlx_spec.machine.kernels import dispatch, verify_ops
from mlx_spec.machine.kernels.metal import MetalKernel, Template, threads_for
from mlx_spec.machine.kernels.proposal import Proposal, Verified
from mlx_spec.machine.kernels.row_softmax import finish, partials, row_normalisers, splits_for
from mlx_spec.machine.kernels.verify_ops import ChainRule
from mlx_spec.machine.kernels.warp import WarpedRows, key_rows
from mlx_spec.sampling.distribution import log_distribution
from mlx_spec.sampling.gumbel import Stream, stream_key, stream_uniform

_ONE_SEGMENT: Final = 32_768
"""Up to so many tokens one threadgroup draws from the deciding row; beyond, several of them share it."""
_SEGMENT: Final = 8_192

TARGET: Final = ("logits", "bias", "scale", "thresholds", "sums")
DRAFT: Final = ("draft_ids", "draft_logits", "draft_scale", "draft_thresholds", "draft_normalisers")
HEADERS: Final = ("rounding", "scores", "noise", "reduce", "chain")
MASSES: Final = MetalKernel("chain_masses", (*TARGET, *DRAFT), ("masses",), HEADERS)
DECIDE: Final = MetalKernel(
    "chain_decide",
    (*TARGET, *DRAFT, "masses", "uniforms", "keys"),
    ("accepted", "token_ids", "logprobs", "normalisers", "draft_logprobs", "best_values", "best_ids"),
    HEADERS,
)
FINISH: Final = MetalKernel(
    "chain_finish",
    (*TARGET[:4], "accepted", "draft_ids", "draft_logprobs", "normalisers", "best_values", "best_ids"),
    ("token_ids", "logprobs"),
    HEADERS,
)


def coupled(
    rows: WarpedRows,
    draft_ids: mx.array,
    keys: Sequence[tuple[int, int]] | None,
    *,
    tree: TokenTree | None = None,
    noise_rows: mx.array | None = None,
) -> Verified:
    """Accept the drafted path that equals the target's own tokens; see `chain_rules.coupled` and `coupled_tree`.

    `rows` has gamma + 1 of them: row 0 follows the known token, row i + 1 node i + 1 of the `tree` (None: a chain), the
    drafts `draft_ids` `[gamma]`. `keys` are those of the positions, as many as the tree is deep and one more; None at
    temperature 0. Where the caller has them, `noise_rows` `[depth + 1, vocab]` stand for them in the fallback.
    """
    gamma = draft_ids.shape[0]
    if not dispatch.serves(rows.rows):
        return verify_ops.coupled(rows, draft_ids, keys, tree, noise_rows)
    rows = rows.with_thresholds()
    if tree is not None and keys is not None:
        keys = [keys[depth] for depth in tree.depths]
    parents = mx.arange(gamma, dtype=mx.int32) if tree is None else tree.parent_row
    found = finish(rows, partials(rows, keys), draft_ids, parents)
    return Verified(
        found["accepted"].reshape(()),
        found["token_ids"],
        found["logprobs"],
        found["path"],
        found["draft_logprobs"][:gamma],
        found["normalisers"],
    )


def typical(
    rows: WarpedRows, draft_ids: mx.array, tree: TokenTree | None, *, seed: int, position: int, salt: int = 0
) -> Verified:
    """`chain_rules.typical`, over a chain or a tree, in MLX's operations everywhere: lossy, and off by default."""
    values, drawn = rows.scores(), {"seed": seed, "position": position, "salt": salt}
    log_p = log_distribution(values)
    if tree is None:
        verdict = chain_rules.typical(log_p, mx.zeros((0,)), draft_ids, **drawn)
    else:
        verdict = tree_rules.typical_tree(log_p, draft_ids, tree, **drawn)
    return verify_ops.scored(verdict, values, draft_ids, tree)


def chain(
    rows: WarpedRows,
    proposal: Proposal,
    *,
    rule: ChainRule,
    seed: int,
    position: int,
    salt: int = 0,
) -> Verified:
    """Verify a chain by the `token` or `block` of `chain_rules`, which say what `seed`, `position` and `salt` are."""
    gamma = proposal.token_ids.shape[0]
    uniforms = [stream_uniform(seed, position + i, Stream.ACCEPT, salt) for i in range(gamma)]
    keys = [stream_key(seed, position + i, Stream.RECOVER, salt) for i in range(gamma + 1)]
    drawn = mx.array(uniforms or [0.0], dtype=mx.float32), key_rows(keys)
    if dispatch.serves(rows.rows):
        return _chain_metal(rows.with_thresholds(), proposal, rule, *drawn)
    return verify_ops.chain(rows, proposal, rule, *drawn)


def _chain_metal(rows: WarpedRows, proposal: Proposal, rule: ChainRule, uniforms: mx.array, keys: mx.array) -> Verified:
    count, gamma = rows.rows, rows.rows - 1
    sums = partials(rows, None, pick=False).sums
    arrays, template = draft_inputs(rows, proposal, sums)
    masses = mx.zeros((1,), dtype=mx.float32)[None]
    if rule == "block" and gamma > 1:
        masses = _masses(rows, arrays, template)
    segments = 1 if rows.vocab_size <= _ONE_SEGMENT else -(-rows.vocab_size // _SEGMENT)
    outputs = DECIDE(
        [*arrays, masses, uniforms, keys],
        template=template | {"BLOCK": rule == "block"},
        groups=(segments, 1),
        threads=threads_for(-(-rows.vocab_size // (2 * segments)), most=1024 if segments == 1 else 256),
        outputs=[
            *(((1,), mx.int32), ((count,), mx.int32), ((count,), mx.float32), ((count,), mx.float32)),
            *(((max(gamma, 1),), mx.float32), ((segments, 2), mx.float32), ((segments, 2), mx.uint32)),
        ],
    )
    found = dict(zip(DECIDE.outputs, outputs, strict=True)) | {"draft_ids": arrays[len(TARGET)]}
    if segments > 1:
        found["token_ids"], found["logprobs"] = FINISH(
            [*rows.arguments(), *(found[name] for name in FINISH.inputs[4:])],
            template=rows.template(),
            groups=(1, 1),
            threads=32,
            outputs=[((count,), mx.int32), ((count,), mx.float32)],
        )
    path = mx.arange(count, dtype=mx.int32)
    accepted = found["accepted"].reshape(())
    return Verified(accepted, found["token_ids"], found["logprobs"], path, found["draft_logprobs"][:gamma])


def draft_inputs(rows: WarpedRows, proposal: Proposal, sums: mx.array) -> tuple[list[mx.array], dict[str, Template]]:
    """What `MASSES` and `DECIDE` take of target and draft, and what they are compiled for."""
    one = mx.zeros((1,), dtype=mx.float32)
    draft_ids = proposal.token_ids if proposal.token_ids.shape[0] else mx.array([-1], dtype=mx.int32)
    if proposal.rows is None or not proposal.token_ids.shape[0]:
        draft, normalisers, draft_filtered = [mx.zeros((1, 1)), one, one], one, False
    else:
        proposed = proposal.rows.with_thresholds()
        _, _, *warp = proposed.arguments()
        draft, draft_filtered = [proposed.logits, *warp], proposed.thresholds is not None
        normalisers = proposal.normalisers if proposal.normalisers is not None else row_normalisers(proposed)
    template = rows.template() | {"DRAFT_FILTERED": draft_filtered, "POINT": proposal.rows is None}
    arrays = [*rows.arguments(), sums, draft_ids, *draft, normalisers]
    return arrays, template | {"MOST_ROWS": dispatch.MOST_ROWS}


def _masses(rows: WarpedRows, arrays: list[mx.array], template: dict[str, Template]) -> mx.array:
    """Σ max(0, w p - q) `[gamma - 1, splits]` of the rows between the first and the last."""
    splits = splits_for(rows.vocab_size)
    return MASSES(
        arrays,
        template=template,
        groups=(splits, rows.rows - 2),
        threads=threads_for(-(-rows.vocab_size // splits)),
        outputs=[((rows.rows - 2, splits), mx.float32)],
    )[0]
