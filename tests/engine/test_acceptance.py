"""Acceptance rules against enumeration and theory."""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mlx_spec.acceptance import verify
from mlx_spec.errors import ConfigError
from mlx_spec.sampling import Stream, gumbel, noise, sample, stream_key
from tests import oracle

RUNS = 1500


def random_distribution(rng: np.random.Generator, vocab: int, *, spread: float = 1.5) -> np.ndarray:
    return oracle.softmax(rng.normal(size=vocab) * spread).astype(np.float32)


def exact(p: np.ndarray) -> np.ndarray:
    """In float64, summing to one as `chisquare` wants."""
    return p.astype(np.float64) / p.astype(np.float64).sum()


def draw_independently(q: np.ndarray, seed: int, position: int) -> int:
    """A draft of the `token` rule: its own stream."""
    row = gumbel(mx.array(stream_key(seed, position, Stream.DRAFT), dtype=mx.uint32), len(q))
    return int(mx.argmax(mx.log(mx.array(q)) + row).item())


def test_coupled_gives_the_targets_own_samples_whatever_is_drafted() -> None:
    rng = np.random.default_rng(0)
    p = np.stack([random_distribution(rng, 12) for _ in range(5)])
    own = [sample(mx.array(p[i]), 3, 100 + i) for i in range(5)]
    for _ in range(20):
        drafts = rng.integers(0, 12, size=4)
        drafts[:2] = np.where(rng.random(2) < 0.8, own[:2], drafts[:2])
        result = verify(mx.array(p), None, mx.array(drafts), seed=3, position=100)
        emitted = [*drafts[: result.accepted_count].tolist(), result.next_token]
        assert emitted == own[: len(emitted)]
        np.testing.assert_allclose(result.next_logprob, np.log(p[result.accepted_count, result.next_token]), rtol=1e-5)
        assert result.all_accepted == (result.accepted_count == 4)
        assert len(result.accepted_logprobs) == result.accepted_count


@pytest.mark.parametrize("pair", range(4))
def test_coupled_acceptance_is_what_theory_says(pair: int) -> None:
    """Σ_x 1 / Σ_y max(p_y/p_x, q_y/q_x), never under (1 - TV) / (1 + TV): Daliri et al. 2024."""
    rng = np.random.default_rng(pair)
    p, q = random_distribution(rng, 8), random_distribution(rng, 8)
    rows = mx.array(np.stack([p, p]))
    accepted = sum(
        verify(rows, None, mx.array([sample(mx.array(q), seed, 9)]), seed=seed, position=9).accepted_count
        for seed in range(RUNS)
    )
    expected = oracle.coupled_acceptance(p, q)
    distance = 0.5 * np.abs(p - q).sum()
    assert expected >= (1 - distance) / (1 + distance) - 1e-6
    assert stats.binomtest(accepted, RUNS, expected).pvalue > 1e-3


@pytest.mark.parametrize("pair", range(3))
def test_token_rule_keeps_the_targets_distribution_and_accepts_the_overlap(pair: int) -> None:
    rng = np.random.default_rng(100 + pair)
    p, q = random_distribution(rng, 6, spread=2.5), random_distribution(rng, 6, spread=2.5)
    rows, q_rows = mx.array(np.stack([p, p])), mx.array(q[None])
    first, accepted = np.zeros(6), 0
    for seed in range(RUNS):
        draft = draw_independently(q, seed, 4)
        result = verify(rows, q_rows, mx.array([draft]), seed=seed, position=4, rule="token")
        accepted += result.accepted_count
        first[draft if result.accepted_count else result.next_token] += 1
    assert stats.chisquare(first, exact(p) * RUNS).pvalue > 1e-3
    assert stats.binomtest(accepted, RUNS, float(np.minimum(p, q).sum())).pvalue > 1e-3


def test_token_rule_bonus_is_a_sample_of_p() -> None:
    p = np.array([0.6, 0.3, 0.1], dtype=np.float32)
    bonus = np.zeros(3)
    for seed in range(RUNS):
        draft = draw_independently(p, seed, 4)
        result = verify(
            mx.array(np.stack([p, p])), mx.array(p[None]), mx.array([draft]), seed=seed, position=4, rule="token"
        )
        assert result.all_accepted
        bonus[result.next_token] += 1
    assert stats.chisquare(bonus, exact(p) * RUNS).pvalue > 1e-3


@pytest.mark.parametrize("seed", range(40))
def test_token_rule_disjoint_supports_reject_everything(seed: int) -> None:
    p = mx.array([[0.5, 0.5, 0.0, 0.0]] * 4)
    q = mx.array([[0.0, 0.0, 0.5, 0.5]] * 3)
    result = verify(p, q, mx.array([2, 3, 2]), seed=seed, position=0, rule="token")
    assert result.accepted_count == 0
    assert result.next_token in (0, 1)


def test_token_rule_point_mass_draft() -> None:
    """A draft without a distribution is accepted with p of it, and the residual excludes it."""
    p = np.array([0.2, 0.5, 0.3], dtype=np.float32)
    first = np.zeros(3)
    for seed in range(RUNS):
        result = verify(mx.array(np.stack([p, p])), None, mx.array([0]), seed=seed, position=1, rule="token")
        first[0 if result.accepted_count else result.next_token] += 1
        assert result.accepted_count or result.next_token != 0
    assert stats.chisquare(first, exact(p) * RUNS).pvalue > 1e-3


@settings(max_examples=60, deadline=None)
@given(data=st.data(), vocab=st.integers(2, 9), gamma=st.integers(0, 8), seed=st.integers(0, 2**63 - 1))
@pytest.mark.parametrize("rule", ["coupled", "token"])
def test_any_input_gives_a_prefix_and_a_possible_token(
    rule: str, data: st.DataObject, vocab: int, gamma: int, seed: int
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    sparse = rng.random((2 * gamma + 1, vocab)) < 0.3
    sparse[:, rng.integers(vocab)] = False
    rows = np.where(sparse, 0, rng.random((2 * gamma + 1, vocab)) + 1e-3)
    rows = (rows / rows.sum(axis=-1, keepdims=True)).astype(np.float32)
    p, q = rows[: gamma + 1], rows[gamma + 1 :]
    drafts = np.array(
        [rng.choice(vocab, p=row.astype(np.float64) / row.astype(np.float64).sum()) for row in q], dtype=np.int64
    )
    result = verify(mx.array(p), mx.array(q), mx.array(drafts), seed=seed, position=7, rule=rule)
    assert 0 <= result.accepted_count <= gamma
    assert all(p[i, drafts[i]] > 0 for i in range(result.accepted_count))
    assert p[result.accepted_count, result.next_token] > 0
    if result.accepted_count < gamma:
        assert result.next_token != drafts[result.accepted_count]


def test_p_equal_q_accepts_everything_under_both_rules() -> None:
    rng = np.random.default_rng(5)
    p = np.stack([random_distribution(rng, 10) for _ in range(6)])
    for seed in range(30):
        shared = mx.array([sample(mx.array(p[i]), seed, 50 + i) for i in range(5)])
        assert verify(mx.array(p), mx.array(p[:5]), shared, seed=seed, position=50).all_accepted
        own = mx.array([draw_independently(p[i], seed, 50 + i) for i in range(5)])
        assert verify(mx.array(p), mx.array(p[:5]), own, seed=seed, position=50, rule="token").all_accepted


def test_coupled_ties_to_the_published_noise() -> None:
    p = mx.array([[0.1, 0.2, 0.7]])
    expected = int(mx.argmax(mx.log(p[0]) + noise(11, 6, 3)).item())
    assert verify(p, None, mx.array([], dtype=mx.int32), seed=11, position=6).next_token == expected


def test_wrong_shapes_and_rules_are_named() -> None:
    with pytest.raises(ConfigError, match="rule is 'magic': it must be one of coupled, token"):
        verify(mx.ones((1, 3)), None, mx.array([], dtype=mx.int32), seed=0, position=0, rule="magic")
    with pytest.raises(ConfigError, match=r"p is \(2, 3\)"):
        verify(mx.ones((2, 3)), None, mx.array([], dtype=mx.int32), seed=0, position=0)
    with pytest.raises(ConfigError, match=r"q is \(2, 3\)"):
        verify(mx.ones((2, 3)), mx.ones((2, 3)), mx.array([1]), seed=0, position=0)
