"""Verifying: the kernels as a Mac would get them, token for token against the fallback, and that against the rules."""

import itertools
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from mlx_spec.acceptance import chain_rules
from mlx_spec.acceptance.tree import TokenTree
from mlx_spec.config import SamplingParams
from mlx_spec.machine.kernels import verify
from mlx_spec.machine.kernels.proposal import Proposal, Verified
from mlx_spec.machine.kernels.row_softmax import sample
from mlx_spec.machine.kernels.warp import WarpedRows
from mlx_spec.sampling.distribution import log_distribution
from mlx_spec.sampling.gumbel import keyed_noise, stream_key
from tests.machine.kernels.conftest import WARPS, random_rows
from tests.machine.kernels.emulator.launches import Emulator, emulated
from tests.machine.kernels.emulator.run import REVERSE

RULES = ("coupled", "token", "block")
PLAIN, FILTERED = WARPS[1], WARPS[2]


class Case:
    """One round: a target, and a draft that resembles it, drawn as the rule wants it."""

    def __init__(
        self,
        seed: int,
        rule: str,
        gamma: int,
        vocab: int,
        params: SamplingParams = PLAIN,
        dtype: mx.Dtype = mx.float32,
        *,
        point: bool = False,
        parents: list[int] | None = None,
        similarity: float = 1.0,
    ) -> None:
        self.seed, self.rule = seed, rule
        self.rows = random_rows(seed, gamma + 1, vocab, params, dtype)
        self.tree = None if parents is None else TokenTree(tuple(parents))
        depths = self.tree.depths if self.tree else tuple(range(gamma + 1))
        self.keys = None if params.greedy else [stream_key(seed, depth) for depth in range(max(depths) + 1)]
        noise = np.random.default_rng(seed + 1).normal(size=(gamma, vocab)).astype(np.float32)
        behind = mx.array(parents if parents is not None else list(range(gamma)), dtype=mx.int32)
        near = mx.take(self.rows.logits.astype(mx.float32), behind, axis=0) + similarity * mx.array(noise)
        proposed = WarpedRows(near.astype(dtype), params)
        drawn_keys = [self.keys[depths[int(i)]] for i in behind.tolist()] if self.keys else None
        if rule != "coupled":
            drawn_keys = [stream_key(seed + 7, i) for i in range(gamma)]
        if gamma == 0:
            self.proposal = Proposal(mx.zeros((0,), dtype=mx.int32))
        else:
            drawn = sample(proposed, drawn_keys).token_ids
            if self.tree is not None:
                drawn = mx.array(distinct_siblings(self.tree, drawn.tolist(), vocab), dtype=mx.int32)
            self.proposal = Proposal(drawn, None if point else proposed)

    def run(self) -> Verified:
        if self.rule == "coupled":
            return verify.coupled(self.rows, self.proposal.token_ids, self.keys, tree=self.tree)
        rule: Any = self.rule
        return verify.chain(self.rows, self.proposal, rule=rule, seed=self.seed, position=5, salt=2)

    def by_rule(self) -> chain_rules.Verdict:
        """What `acceptance` says, with probabilities at every position."""
        ids, vocab = self.proposal.token_ids, self.rows.vocab_size
        if self.rule == "coupled":
            noise = None if self.keys is None else mx.stack([keyed_noise(key, vocab) for key in self.keys])
            return chain_rules.coupled(self.rows.scores(), ids, noise)
        q = self.proposal.rows
        log_q = chain_rules.point_mass(ids, vocab) if q is None else log_distribution(q.scores())
        log_p = log_distribution(self.rows.scores())
        return chain_rules.RULES[self.rule](log_p, log_q, ids, seed=self.seed, position=5, salt=2)  # type: ignore[index]


def distinct_siblings(tree: TokenTree, ids: list[int], vocab: int) -> list[int]:
    """The ids, moved on where a sibling before has the same."""
    for children in tree.children:
        taken: set[int] = set()
        for child in children:
            while ids[child - 1] in taken:
                ids[child - 1] = (ids[child - 1] + 1) % vocab
            taken.add(ids[child - 1])
    return ids


def decided(verdict: Verified | chain_rules.Verdict) -> list[int]:
    count = int(verdict.accepted_count.item())
    return list(verdict.token_ids.tolist()[: count + 1])


def check(case: Case, emulator: Emulator, atol: float = 5e-5) -> int:
    """The same tokens and path as the fallback, and log-probabilities as near; gives the number accepted."""
    expected = case.run()
    with emulated(emulator):
        got = case.run()
    tokens = decided(expected)
    assert decided(got) == tokens
    assert got.path.tolist()[: len(tokens)] == expected.path.tolist()[: len(tokens)]
    for name in ("logprobs", "draft_logprobs"):
        count = len(tokens) if name == "logprobs" else None
        near = np.array(getattr(expected, name))[:count]
        np.testing.assert_allclose(np.array(getattr(got, name))[:count], near, atol=atol)
    return len(tokens) - 1


@pytest.mark.parametrize("point", [False, True], ids=["distribution", "point mass"])
@pytest.mark.parametrize("rule", RULES)
def test_random_rounds_token_for_token(emulator: Emulator, rule: str, point: bool) -> None:
    if rule == "coupled" and point:
        pytest.skip("coupled reads no q")
    accepted = [
        check(Case(seed, rule, seed % 6, 37, similarity=0.2 * (seed % 9), point=point), emulator) for seed in range(300)
    ]
    assert set(accepted) >= {0, 1, 2, 3}


@pytest.mark.parametrize("params", [WARPS[0], FILTERED], ids=["greedy", "filtered"])
@pytest.mark.parametrize("rule", RULES)
def test_filters_and_greedy_token_for_token(emulator: Emulator, rule: str, params: SamplingParams) -> None:
    if params.greedy and rule != "coupled":
        pytest.skip("greedy decoding is coupled without noise")
    for seed in range(80):
        check(Case(seed, rule, 1 + seed % 4, 37, params), emulator)


@pytest.mark.parametrize("rule", RULES)
def test_the_fallback_is_the_rule(rule: str) -> None:
    for seed in range(150):
        for point in (False, True):
            case = Case(seed, rule, seed % 5, 50, (PLAIN, FILTERED)[seed % 2], point=point)
            assert decided(case.run()) == decided(case.by_rule())


TREES = [[0, 0, 0], [0, 0, 1, 1, 2], [0, 1, 0, 3, 1, 4, 4], [0, 0, 1, 2, 3, 4]]


def test_trees_walk_to_the_targets_own_tokens(emulator: Emulator) -> None:
    accepted = []
    for seed in range(300):
        parents = TREES[seed % len(TREES)]
        case = Case(seed, "coupled", len(parents), 37, (WARPS[0], PLAIN)[seed % 2], parents=parents, similarity=2.0)
        accepted.append(check(case, emulator))
        count = accepted[-1]
        path = case.run().path.tolist()[: count + 1]
        assert path[0] == 0
        for above, below in itertools.pairwise(path):
            assert parents[below - 1] == above
    assert set(accepted) >= {0, 1, 2}


@pytest.mark.parametrize(
    ("vocab", "gamma", "dtype"),
    [
        *((4_097, 0, mx.float16), (32_000, 1, mx.bfloat16), (49_152, 7, mx.float32), (128_256, 8, mx.float16)),
        *((151_936, 8, mx.bfloat16), (262_144, 2, mx.bfloat16), (4_097, 31, mx.float32)),
    ],
    ids=str,
)
@pytest.mark.parametrize("rule", RULES)
def test_real_vocabularies_and_lengths(emulator: Emulator, rule: str, vocab: int, gamma: int, dtype: mx.Dtype) -> None:
    check(Case(vocab, rule, gamma, vocab, PLAIN, dtype, similarity=0.5), emulator, atol=2e-4)


@pytest.mark.parametrize("rule", RULES)
def test_edges(emulator: Emulator, rule: str) -> None:
    """p equal q; disjoint support; one token left; a very low temperature; top-k 1."""
    same = Case(1, rule, 3, 37, similarity=0.0)
    assert check(same, emulator) == 3
    apart = Case(2, rule, 3, 40)
    halves = np.where(np.arange(40) < 20, -np.inf, 0.0).astype(np.float32)
    apart.rows = WarpedRows(mx.array(np.tile(halves, (4, 1))), PLAIN)
    proposed = WarpedRows(mx.array(np.tile(halves[::-1].copy(), (3, 1))), PLAIN)
    apart.proposal = Proposal(mx.array([1, 2, 3]), proposed)
    assert check(apart, emulator) == 0
    single = Case(3, rule, 2, 37)
    only = np.full((3, 37), -np.inf, dtype=np.float32)
    only[:, 11] = 2.0
    single.rows, single.proposal = WarpedRows(mx.array(only), PLAIN), Proposal(mx.array([11, 11]), None)
    assert check(single, emulator) == 2
    check(Case(4, rule, 3, 37, SamplingParams(temperature=1e-3)), emulator, atol=1e-2)
    check(Case(5, rule, 3, 37, SamplingParams(temperature=1.0, top_k=1)), emulator)


@pytest.mark.parametrize("rule", RULES)
def test_no_order_of_threads_and_no_sanitizer_objects(emulator: Emulator, rule: str) -> None:
    case = Case(3, rule, 3, 75)
    expected = decided(case.run())
    for order in (REVERSE, 2, 3):
        with emulated(Emulator(order=order)):
            assert decided(case.run()) == expected
    for build in ("address", "thread"):
        emulator.build = build
        with emulated(emulator):
            assert decided(case.run()) == expected


def test_several_segments_under_the_sanitizers(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "_ONE_SEGMENT", 10)
    monkeypatch.setattr(verify, "_SEGMENT", 40)
    for build in ("plain", "address", "thread"):
        emulator.build = build
        check(Case(3, "token", 3, 75), emulator)
    assert emulator.launched.count("chain_finish") == 3


VOCAB, GAMMA, ROW_BYTES = 151_936, 8, 2 * 151_936


def test_coupled_reads_the_logits_once(emulator: Emulator) -> None:
    case = Case(1, "coupled", GAMMA, VOCAB, PLAIN, mx.bfloat16)
    emulator.counted = {"row_partials": ("logits",), "row_finish": ("logits",)}
    with emulated(emulator):
        case.run()
    assert emulator.launched == ["row_partials", "row_finish"]
    assert 1.0 <= emulator.bytes_read / ((GAMMA + 1) * ROW_BYTES) <= 1.05


@pytest.mark.parametrize(("rule", "rows_at_least"), [("token", GAMMA + 1 + 1), ("block", GAMMA + 1 + 2 * (GAMMA - 1))])
def test_chains_read_little_more_than_they_must(emulator: Emulator, rule: str, rows_at_least: int) -> None:
    """token: each target row once, then the one that decides with its draft row. block: p and q of the rows between
    the first and the last too, which its test sums over."""
    case = Case(1, rule, GAMMA, VOCAB, PLAIN, mx.bfloat16)
    drawn = sample(case.proposal.rows, None)
    case.proposal = Proposal(case.proposal.token_ids, case.proposal.rows, drawn.normalisers)
    both = ("logits", "draft_logits")
    emulator.counted = {"row_partials": ("logits",), "chain_masses": both, "chain_decide": both}
    with emulated(emulator):
        count = len(decided(case.run())) - 1
    decides = 1 if count == GAMMA else 2
    least = (rows_at_least - (rule == "token") + decides) * ROW_BYTES
    assert 1.0 <= emulator.bytes_read / least <= 1.15
