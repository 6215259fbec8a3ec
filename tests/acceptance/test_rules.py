"""The engine's acceptance rules against their formulas in float64, decision by decision, and against theory."""

from dataclasses import dataclass

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

import mlx_spec.acceptance.chain_rules
from mlx_spec.acceptance.chain_rules import Verdict, VerificationResult, block, coupled, verify
from mlx_spec.config import ACCEPTANCE_RULES
from mlx_spec.errors import ConfigError
from mlx_spec.sampling.gumbel import NoiseTable, Stream, gumbel, noise, sample, stream_key, stream_uniform
from tests import oracle

RUNS = 4000
DRAWING = ["token", "block", "typical"]
"""The rules that draw uniforms of their own."""


def random_distribution(rng: np.random.Generator, vocab: int, *, spread: float = 1.5) -> np.ndarray:
    return oracle.softmax(rng.normal(size=vocab) * spread).astype(np.float32)


def draw_independently(q: np.ndarray, seed: int, position: int) -> int:
    """A draft of a rule other than `coupled`: its own stream."""
    row = gumbel(mx.array(stream_key(seed, position, Stream.DRAFT), dtype=mx.uint32), len(q))
    return int(mx.argmax(mx.log(mx.array(q)) + row).item())


@dataclass(frozen=True)
class Drafted:
    """One chain as `verify` gets it. `q` None is a draft without a distribution."""

    p: np.ndarray
    q: np.ndarray | None
    drafts: list[int]
    seed: int
    position: int = 7

    @property
    def q_rows(self) -> np.ndarray:
        """q with the point masses that None stands for."""
        return np.eye(self.p.shape[-1])[self.drafts].reshape(-1, self.p.shape[-1]) if self.q is None else self.q

    def verify(self, rule: str) -> VerificationResult:
        q = None if self.q is None else mx.array(self.q)
        drafts = mx.array(self.drafts, dtype=mx.int32)
        return verify(mx.array(self.p), q, drafts, seed=self.seed, position=self.position, rule=rule)


@st.composite
def drafted(draw: st.DrawFn, least_gamma: int = 0) -> Drafted:
    """Random p and q with zeros, equal, disjoint or point masses; drafts drawn from q."""
    vocab, gamma = draw(st.integers(3, 8)), draw(st.integers(least_gamma, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    zeros = rng.random((2 * gamma + 1, vocab)) < draw(st.sampled_from([0.0, 0.4, 0.9]))
    zeros[np.arange(len(zeros)), rng.integers(vocab, size=len(zeros))] = False
    rows = np.where(zeros, 0, rng.random(zeros.shape) + 1e-2)
    rows = (rows / rows.sum(axis=-1, keepdims=True)).astype(np.float32)
    p, q = rows[: gamma + 1], rows[gamma + 1 :]
    if draw(st.booleans()) and gamma:
        q[0] = p[0]
    drafts = [int(rng.choice(vocab, p=row / row.sum())) for row in q.astype(np.float64)]
    without = draw(st.sampled_from([False, False, True]))
    return Drafted(p, None if without else q, drafts, draw(st.integers(0, 2**63 - 1)))


def decided_by_formula(rule: str, case: Drafted) -> tuple[int, int] | None:
    """Count and next token, from the formulas in float64 and the engine's own uniforms and noise.

    None for a tie, which float32 may decide either way.
    """
    p, q, gamma = case.p.astype(np.float64), case.q_rows.astype(np.float64), len(case.drafts)
    passing, residuals = oracle.JUDGEMENTS[rule](p, q, case.drafts)
    uniforms = np.array([stream_uniform(case.seed, case.position + i, Stream.ACCEPT) for i in range(gamma)])
    if rule != "typical" and (np.abs(uniforms - passing) < 1e-5).any():
        return None
    count = oracle.accepted_count(rule, uniforms < passing)
    row = gumbel(mx.array(stream_key(case.seed, case.position + count, Stream.RECOVER), dtype=mx.uint32), p.shape[-1])
    with np.errstate(divide="ignore"):
        noisy = np.log(residuals[count]) + np.array(row)
    second, best = np.sort(noisy)[-2:]
    return (count, int(np.argmax(noisy))) if best - second > 1e-3 else None


@settings(max_examples=200, deadline=None)
@given(case=drafted())
@pytest.mark.parametrize("rule", DRAWING)
def test_every_decision_is_the_formulas(rule: str, case: Drafted) -> None:
    expected = decided_by_formula(rule, case)
    assume(expected is not None)
    result = case.verify(rule)
    assert (result.accepted_count, result.next_token) == expected


def block_with_tokens_residual(
    log_p: mx.array, log_q: mx.array, draft_ids: mx.array, *, seed: int, position: int, salt: int = 0
) -> Verdict:
    """A fault to plant: what follows an accepted prefix is drawn as if the prefix had no weight."""
    count = block(log_p, log_q, draft_ids, seed=seed, position=position, salt=salt).accepted_count
    residual = mx.maximum(mx.exp(log_p[count]) - mlx_spec.acceptance.chain_rules._with_bonus_row(log_q)[count], 0)
    return mlx_spec.acceptance.chain_rules._followed(
        draft_ids, count, residual, mx.exp(log_p[count]), seed, position, salt
    )


@pytest.mark.parametrize(
    ("rule", "name", "fault"),
    [
        ("block", "RULES", {"block": block_with_tokens_residual}),
        ("token", "_with_bonus_row", lambda log_q: mx.zeros((log_q.shape[0] + 1, log_q.shape[1]))),
        ("block", "prefix_weights", lambda p, q: mx.concatenate([mx.array([1.0]), mx.minimum(p / q, 1.0)])),
        ("block", "_with_bonus_row", lambda log_q: mx.exp(mx.concatenate([log_q, log_q[-1:]]))),
    ],
    ids=["the residual of token", "no residual", "weights of single tokens", "something drafted behind the last"],
)
def test_planted_faults_are_noticed(monkeypatch: pytest.MonkeyPatch, rule: str, name: str, fault: object) -> None:
    rng = np.random.default_rng(3)
    wrong = 0
    for seed in range(80):
        rows = np.stack([random_distribution(rng, 5) for _ in range(7)])
        drafts = [draw_independently(row, seed, 7 + i) for i, row in enumerate(rows[4:])]
        case = Drafted(rows[:4], rows[4:], drafts, seed)
        with monkeypatch.context() as planted:
            planted.setattr(mlx_spec.acceptance.chain_rules, name, fault)
            faulty = case.verify(rule)
        healthy, expected = case.verify(rule), decided_by_formula(rule, case)
        if expected is not None:
            assert (healthy.accepted_count, healthy.next_token) == expected
            wrong += (faulty.accepted_count, faulty.next_token) != expected
    assert wrong


@settings(max_examples=100, deadline=None)
@given(case=drafted())
@pytest.mark.parametrize("rule", ACCEPTANCE_RULES)
def test_any_input_gives_a_prefix_a_possible_token_and_its_logprobs(rule: str, case: Drafted) -> None:
    result = case.verify(rule)
    count, gamma = result.accepted_count, len(case.drafts)
    assert 0 <= count <= gamma
    assert result.all_accepted == (count == gamma)
    assert all(case.p[i, case.drafts[i]] > 0 for i in range(count))
    expected = [case.p[i, x] for i, x in enumerate([*case.drafts[:count], result.next_token])]
    assert expected[-1] > 0
    np.testing.assert_allclose([*result.accepted_logprobs, result.next_logprob], np.log(expected), atol=1e-5)
    if count < gamma and rule in ("coupled", "token"):
        assert result.next_token != case.drafts[count]


@pytest.mark.parametrize("rule", ACCEPTANCE_RULES)
def test_a_target_that_is_sure_says_its_token(rule: str) -> None:
    """p one-hot, so that every other log-probability is minus infinity."""
    p = np.eye(4, dtype=np.float32)[[2, 0, 1]]
    spread = np.full((2, 4), 0.25, dtype=np.float32)
    right, wrong = (Drafted(p, spread, drafts, seed=5).verify(rule) for drafts in ([2, 0], [2, 3]))
    assert (right.accepted_count, right.next_token, right.all_accepted) == (2, 1, True)
    assert (wrong.accepted_count, wrong.next_token) == (1, 0)
    assert (*right.accepted_logprobs, right.next_logprob, *wrong.accepted_logprobs, wrong.next_logprob) == (0.0,) * 5


@pytest.mark.parametrize("rule", ["coupled", "token", "block"])
def test_equal_models_accept_everything(rule: str) -> None:
    rng = np.random.default_rng(5)
    p = np.stack([random_distribution(rng, 10) for _ in range(6)])
    draw = (lambda row, seed, at: sample(mx.array(row), seed, at)) if rule == "coupled" else draw_independently
    for seed in range(30):
        drafts = [draw(row, seed, 7 + i) for i, row in enumerate(p[:5])]
        assert Drafted(p, p[:5], drafts, seed).verify(rule).all_accepted


@pytest.mark.parametrize("rule", ACCEPTANCE_RULES)
def test_disjoint_supports_reject_everything(rule: str) -> None:
    p = np.float32([[0.5, 0.5, 0.0, 0.0]] * 4)
    q = np.float32([[0.0, 0.0, 0.5, 0.5]] * 3)
    for seed in range(30):
        result = Drafted(p, q, [2, 3, 2], seed).verify(rule)
        assert result.accepted_count == 0
        assert result.next_token in (0, 1)


@pytest.mark.parametrize("rule", ["token", "block"])
def test_a_rejected_point_mass_is_not_said_after_all(rule: str) -> None:
    p = np.float32([[0.2, 0.5, 0.3]] * 2)
    results = [Drafted(p, None, [1], seed).verify(rule) for seed in range(60)]
    assert {result.next_token for result in results if not result.all_accepted} == {0, 2}
    assert 10 < sum(result.all_accepted for result in results) < 50


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


@pytest.mark.parametrize("pair", range(4))
def test_coupled_acceptance_is_what_theory_says(pair: int) -> None:
    """Σ_x 1 / Σ_y max(p_y/p_x, q_y/q_x): Daliri et al. 2024. One long chain, every position a sample of its own."""
    rng = np.random.default_rng(pair)
    p, q = random_distribution(rng, 8), random_distribution(rng, 8)
    q[rng.integers(8)] = 0
    q /= q.sum()
    rows = NoiseTable(pair, 8).rows(0, RUNS + 1)
    draft_ids = mx.argmax(mx.log(mx.array(q)) + rows[:-1], axis=-1).astype(mx.int32)
    verdict = coupled(mx.broadcast_to(mx.log(mx.array(p)), (RUNS + 1, 8)), draft_ids, rows)
    accepted = int(mx.sum(verdict.token_ids[:-1] == draft_ids).item())
    assert stats.binomtest(accepted, RUNS, oracle.coupled_acceptance(p, q)).pvalue > 1e-3


def test_coupled_ties_to_the_published_noise() -> None:
    p = mx.array([[0.1, 0.2, 0.7]])
    expected = int(mx.argmax(mx.log(p[0]) + noise(11, 6, 3)).item())
    assert verify(p, None, mx.array([], dtype=mx.int32), seed=11, position=6).next_token == expected


def test_wrong_shapes_and_rules_are_named() -> None:
    with pytest.raises(ConfigError, match="rule is 'magic': it must be one of coupled, token, block, typical"):
        verify(mx.ones((1, 3)), None, mx.array([], dtype=mx.int32), seed=0, position=0, rule="magic")
    with pytest.raises(ConfigError, match=r"p is \(2, 3\)"):
        verify(mx.ones((2, 3)), None, mx.array([], dtype=mx.int32), seed=0, position=0)
    with pytest.raises(ConfigError, match=r"q is \(2, 3\)"):
        verify(mx.ones((2, 3)), mx.ones((2, 3)), mx.array([1]), seed=0, position=0)
