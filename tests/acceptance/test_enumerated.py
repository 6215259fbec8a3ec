"""The acceptance rules as formulas, enumerated in float64: every draft that could be drawn, every way to judge it.

`tests/oracle.py` holds the formulas; `test_acceptance.py` holds the engine to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlx_spec.config import SamplingParams
from tests import oracle

EXACT = 1e-12


@dataclass(frozen=True)
class Chain:
    """Target and draft over short texts: p knows gamma + 1 tokens, q gamma."""

    p: oracle.Tables
    q: oracle.Tables


def tables(rng: np.random.Generator, vocab: int, length: int, params: SamplingParams, spread: float) -> oracle.Tables:
    """Random distributions behind random filters, so that many probabilities are zero."""
    found = []
    for i in range(length):
        logits = rng.normal(size=(vocab,) * (i + 1)) * spread
        found.append(np.apply_along_axis(oracle.warped, -1, logits, params))
    return found


FILTERS = st.builds(
    SamplingParams,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
    top_k=st.sampled_from([0, 1, 2]),
    top_p=st.sampled_from([1.0, 0.9, 0.5]),
    min_p=st.sampled_from([0.0, 0.3]),
)


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    gamma = draw(st.integers(1, 4))
    vocab = draw(st.integers(3, {1: 8, 2: 8, 3: 5, 4: 3}[gamma]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    p = tables(rng, vocab, gamma + 1, draw(FILTERS), spread=1.5)
    return Chain(p, tables(rng, vocab, gamma, draw(FILTERS), spread=1.5))


def steady(row: list[float], length: int) -> oracle.Tables:
    """The same distribution after every text."""
    return [np.broadcast_to(np.array(row), (len(row),) * (i + 1)) for i in range(length)]


@settings(max_examples=60, deadline=None)
@given(chain=chains())
@pytest.mark.parametrize("rule", ["token", "block"])
def test_the_text_is_distributed_as_the_targets(rule: str, chain: Chain) -> None:
    found, _ = oracle.speculated(rule, chain.p, chain.q)
    np.testing.assert_allclose(found, oracle.joint(chain.p), atol=EXACT)


@settings(max_examples=60, deadline=None)
@given(chain=chains(), salt=st.integers(0, 99))
@pytest.mark.parametrize("rule", ["token", "block"])
def test_a_draft_may_end_early_by_what_it_says(rule: str, chain: Chain, salt: int) -> None:
    """As a draft model's does where it grows unsure: the last token stands to be judged like any other."""
    found, _ = oracle.speculated(rule, chain.p, chain.q, ends=lambda drafts: hash((salt, *drafts)) % 3 == 0)
    np.testing.assert_allclose(found, oracle.joint(chain.p), atol=EXACT)


@settings(max_examples=60, deadline=None)
@given(chain=chains())
def test_block_never_accepts_fewer_than_token_in_expectation(chain: Chain) -> None:
    by_block, by_token = (oracle.speculated(rule, chain.p, chain.q)[1] for rule in ("block", "token"))
    assert by_block >= by_token - EXACT


def test_block_accepts_eleven_ninths_where_token_accepts_ten() -> None:
    """The example that the paper opens with: p = (1/3, 2/3), q = (2/3, 1/3), two drafts."""
    p, q = steady([1 / 3, 2 / 3], 3), steady([2 / 3, 1 / 3], 2)
    assert oracle.speculated("token", p, q)[1] == pytest.approx(10 / 9)
    assert oracle.speculated("block", p, q)[1] == pytest.approx(11 / 9)


def test_one_draft_is_judged_alike_by_token_and_block() -> None:
    rng = np.random.default_rng(4)
    p, q = rng.dirichlet(np.ones(5), size=2), rng.dirichlet(np.ones(5), size=1)
    for x in range(5):
        for ours, theirs in zip(oracle.token_judgement(p, q, [x]), oracle.block_judgement(p, q, [x]), strict=True):
            np.testing.assert_allclose(ours, theirs)


@settings(max_examples=40, deadline=None)
@given(chain=chains())
@pytest.mark.parametrize("rule", ["token", "block"])
def test_equal_models_accept_everything(rule: str, chain: Chain) -> None:
    gamma = len(chain.q)
    assert oracle.speculated(rule, chain.p, chain.p[:gamma])[1] == pytest.approx(gamma)


@pytest.mark.parametrize("rule", ["token", "block"])
def test_disjoint_models_accept_nothing_and_stay_exact(rule: str) -> None:
    p, q = steady([0.5, 0.5, 0, 0], 4), steady([0, 0, 0.3, 0.7], 3)
    found, accepted = oracle.speculated(rule, p, q)
    assert accepted == 0
    np.testing.assert_allclose(found, oracle.joint(p), atol=EXACT)


def test_typical_is_lossy_and_greedy_where_the_target_is_sure() -> None:
    p, q = steady([0.6, 0.3, 0.1], 3), steady([0.2, 0.2, 0.6], 2)
    assert np.abs(oracle.speculated("typical", p, q)[0] - oracle.joint(p)).max() > 0.1
    sure = steady([1.0, 0.0, 0.0], 3)
    np.testing.assert_allclose(oracle.speculated("typical", sure, q)[0], oracle.joint(sure))


def _with_tokens_residual(p: np.ndarray, q: np.ndarray, drafts: Sequence[int]) -> oracle.Judgement:
    return oracle.block_judgement(p, q, drafts)[0], oracle.token_judgement(p, q, drafts)[1]


def _tested_by_weight_alone(p: np.ndarray, q: np.ndarray, drafts: Sequence[int]) -> oracle.Judgement:
    ratios = np.cumprod([p[i, x] / q[i, x] for i, x in enumerate(drafts)])
    return np.minimum(ratios, 1), oracle.block_judgement(p, q, drafts)[1]


def _last_prefix_as_the_others(p: np.ndarray, q: np.ndarray, drafts: Sequence[int]) -> oracle.Judgement:
    passing, residuals = oracle.block_judgement(p, q, drafts)
    passing[-1] = min(1.0, p[len(drafts) - 1, drafts[-1]] / q[len(drafts) - 1, drafts[-1]])
    return passing, residuals


@pytest.mark.parametrize("fault", [_with_tokens_residual, _tested_by_weight_alone, _last_prefix_as_the_others])
def test_planted_faults_change_the_distribution(fault: oracle.RuleOracle) -> None:
    """The enumeration can tell: each of these looks like block verification, and is not."""
    rng = np.random.default_rng(7)
    p, q = ([rng.dirichlet(np.ones(4), size=(4,) * i) for i in range(n)] for n in (4, 3))
    np.testing.assert_allclose(oracle.speculated("block", p, q)[0], oracle.joint(p), atol=EXACT)
    assert np.abs(oracle.speculated("block", p, q, fault)[0] - oracle.joint(p)).max() > 1e-3


def coupled_bound(p: np.ndarray, q: np.ndarray) -> float:
    """(1 - TV) / (1 + TV), Daliri, Musco and Suresh 2024."""
    distance = 0.5 * np.abs(p - q).sum()
    return float((1 - distance) / (1 + distance))


@settings(max_examples=200, deadline=None)
@given(chain=chains())
@example(chain=Chain(steady([0.5, 0.5, 0.0], 2), steady([0.0, 0.5, 0.5], 1)))
def test_coupled_acceptance_keeps_the_papers_bound(chain: Chain) -> None:
    """Never under (1 - TV) / (1 + TV), never over the 1 - TV that no rule can beat."""
    p, q = chain.p[0], chain.q[0]
    accepted = oracle.coupled_acceptance(p, q)
    assert coupled_bound(p, q) - EXACT <= accepted <= np.minimum(p, q).sum() + EXACT
