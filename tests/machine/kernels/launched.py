"""Every kernel once, small: what the checks run that look at each of them."""

from collections.abc import Callable
from typing import Final

import mlx.core as mx

from mlx_spec.acceptance.tree import full_tree
from mlx_spec.machine.kernels.compact import compact
from mlx_spec.machine.kernels.products.few_rows import expert_matmul, few_rows_matmul
from mlx_spec.machine.kernels.products.weights import Packing
from mlx_spec.machine.kernels.row_attention import causal, masked, row_attention
from mlx_spec.machine.kernels.row_softmax import probabilities, sample
from tests.machine.kernels.conftest import WARPS
from tests.machine.kernels.paged_cases import Shape, laid
from tests.machine.kernels.products.cases import packed, rows_of
from tests.machine.kernels.test_tree_verify import Case as TreeCase
from tests.machine.kernels.test_verify import Case

VOCAB: Final = 150  # three simdgroups, so that no barrier is idle


def _arrays(case: Case) -> list[mx.array]:
    verdict = case.run()
    return [verdict.accepted_count, verdict.token_ids, verdict.logprobs, verdict.draft_logprobs]


def verify_coupled(gamma: int) -> list[mx.array]:
    """row_partials, row_finish."""
    return _arrays(Case(3, "coupled", gamma, VOCAB))


def verify_filtered(gamma: int) -> list[mx.array]:
    """row_thresholds too."""
    return _arrays(Case(3, "coupled", gamma, VOCAB, WARPS[2]))


def verify_block(gamma: int) -> list[mx.array]:
    """chain_masses, chain_decide and, where the vocabulary is split, chain_finish."""
    return _arrays(Case(3, "block", gamma, VOCAB))


def verify_tree(gamma: int) -> list[mx.array]:
    """tree_decide."""
    case = TreeCase(3, full_tree([min(gamma, 8), 1]), VOCAB)
    verdict = case.run()
    return [verdict.accepted_count, verdict.token_ids, verdict.logprobs, verdict.path]


def softmax_rows(gamma: int) -> list[mx.array]:
    """row_write."""
    return [probabilities(Case(3, "coupled", gamma, VOCAB).rows)]


def draw(gamma: int) -> list[mx.array]:
    """A draft's step."""
    drawn = sample(Case(3, "coupled", gamma, VOCAB).rows, [(1, 2)] * (gamma + 1))
    return [drawn.token_ids, drawn.logprobs]


def keep_path(gamma: int) -> list[mx.array]:
    """compact."""
    arrays = [mx.arange(1.0 * 2 * 20 * 8).reshape(1, 2, 20, 8) + i for i in range(3)]
    return [array[:, :, :9] for array in compact(arrays, 5, [0, 2, 4, 5][: max(2, min(gamma, 4))])]


def multiply(gamma: int) -> list[mx.array]:
    """few_rows_matmul."""
    weights = packed(Packing("affine", 5, 32), 9, 64, dtype=mx.float16)
    return [few_rows_matmul(rows_of(gamma + 1, 64, mx.float16), weights)]


def multiply_by_experts(gamma: int) -> list[mx.array]:
    """few_rows_matmul, a row and an expert a tile."""
    weights = packed(Packing("nvfp4", 4, 16), 3, 9, 64, dtype=mx.float16)
    return [expert_matmul(rows_of(gamma + 1, 64, mx.float16), weights, mx.array([[0, 2]] * (gamma + 1)))]


def attend(gamma: int) -> list[mx.array]:
    """paged_partials, paged_finish."""
    shape = Shape(width=40)
    sinks = mx.zeros((shape.heads,))
    return [laid(shape, [shape.answer(1, 270 + gamma, gamma + 1)]).attend(sinks=sinks, softcap=5.0, window=260)]


def attend_in_own_arrays(gamma: int) -> list[mx.array]:
    """The same two, over arrays of an answer's own."""
    keys = mx.random.normal((1, 2, 280, 40), key=mx.random.key(2))
    queries = mx.random.normal((1, 4, gamma + 1, 40), key=mx.random.key(1))
    mask = mx.arange(280)[None] % 3 <= mx.arange(gamma + 1)[:, None] % 2
    return [row_attention(queries, keys, keys, seen, scale=0.2) for seen in (causal(1, gamma + 1, 280), masked(mask))]


EVERY: Final[dict[str, Callable[[int], list[mx.array]]]] = {
    "coupled": verify_coupled,
    "filtered": verify_filtered,
    "block": verify_block,
    "tree": verify_tree,
    "softmax": softmax_rows,
    "draw": draw,
    "compact": keep_path,
    "matmul": multiply,
    "experts": multiply_by_experts,
    "paged": attend,
    "rows": attend_in_own_arrays,
}
