"""Both rules draw from the target's own distribution: χ² on a model whose every probability is known."""

import itertools

import mlx.core as mx
import numpy as np
import pytest
from scipy import stats

import mlx_spec.drafters.draft_model
from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.drafters.draft_model import DraftModel
from mlx_spec.events import GenerationFinished
from mlx_spec.sampling import Stream, stream_key
from tests import oracle
from tests.tiny import TableModel, pair_of

VOCAB, LENGTH, RUNS = 4, 8, 500
PROMPT = [1, 2]


def table(seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(VOCAB, VOCAB, VOCAB)) * 1.6).astype(np.float32)


def marginals(logits: np.ndarray, params: SamplingParams) -> np.ndarray:
    """The exact distribution `[LENGTH, VOCAB]` of each answer position."""
    step = np.array([[oracle.warped(row, params) for row in rows] for rows in logits])
    state = np.zeros((VOCAB, VOCAB))
    state[PROMPT[0], PROMPT[1]] = 1.0
    found = []
    for _ in range(LENGTH):
        joint = state[:, :, None] * step
        state = joint.sum(axis=0)
        found.append(state.sum(axis=0))
    return np.array(found)


def counts(decoder: SpeculativeDecoder, params: SamplingParams, runs: int) -> np.ndarray:
    """How often each token stood at each position, over `runs` seeds."""
    found = np.zeros((LENGTH, VOCAB))
    for seed in range(runs):
        seeded = SamplingParams(temperature=params.temperature, top_p=params.top_p, seed=seed)
        *_, end = decoder.stream(PROMPT, seeded, LENGTH)
        assert isinstance(end, GenerationFinished)
        found[np.arange(LENGTH), list(end.token_ids)] += 1
    return found


def least_p_value(found: np.ndarray, expected: np.ndarray) -> float:
    runs = found.sum(axis=1)[0]
    values = []
    for row, p in zip(found, expected, strict=True):
        assert not row[p == 0].any(), "a token that the filters exclude was said"
        values.append(stats.chisquare(row[p > 0], p[p > 0] / p.sum() * runs).pvalue if (p > 0).sum() > 1 else 1.0)
    return min(values)


def decoder_for(rule: str, lookahead: int, p: np.ndarray, q: np.ndarray, **settings: float) -> SpeculativeDecoder:
    pair = pair_of(TableModel(mx.array(p)), TableModel(mx.array(q)), vocab=VOCAB)
    config = SpeculativeConfig(acceptance=rule, lookahead=lookahead, adaptive_lookahead=False, **settings)
    return SpeculativeDecoder(pair, config)


@pytest.mark.parametrize(("rule", "lookahead"), list(itertools.product(["coupled", "token"], [1, 3, 7])))
def test_every_position_has_the_targets_distribution(rule: str, lookahead: int) -> None:
    params = SamplingParams(temperature=1.0) if lookahead != 3 else SamplingParams(temperature=0.8, top_p=0.9)
    decoder = decoder_for(rule, lookahead, table(1), table(2))
    assert least_p_value(counts(decoder, params, RUNS), marginals(table(1), params)) >= 1e-3
    assert 0 < decoder.stats().acceptance_rate < 1


# For the planted faults: the draft is sure of a token that the target hardly wants, and the target's two likely tokens
# stand very differently with the draft, so that a draw which remembers the draft's noise shows.
HOSTILE_P = np.log(np.broadcast_to(np.float32([0.1, 0.54, 0.35, 0.01]), (VOCAB, VOCAB, VOCAB)))
HOSTILE_Q = np.log(np.broadcast_to(np.float32([0.69, 0.3, 0.005, 0.005]), (VOCAB, VOCAB, VOCAB)))


def p_value_on_hostile_pair(**settings: float) -> float:
    params = SamplingParams(temperature=1.0)
    decoder = decoder_for("token", 3, HOSTILE_P, HOSTILE_Q, **settings)
    return least_p_value(counts(decoder, params, RUNS), marginals(HOSTILE_P, params))


def test_the_hostile_pair_itself_is_served_exactly() -> None:
    assert p_value_on_hostile_pair() >= 1e-3


@pytest.mark.parametrize("temperature", [0.0, 0.5, 2.0])
def test_a_draft_with_its_own_temperature_is_served_exactly(temperature: float) -> None:
    """At 0 its q is a point mass, whatever its logits say."""
    assert p_value_on_hostile_pair(draft_temperature=temperature) >= 1e-3


def test_a_point_mass_where_q_is_spread_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault under `token`: the draft takes its likeliest token, and q is handed over as if it had drawn."""
    monkeypatch.setattr(DraftModel, "_noise", lambda self, position, round_index: mx.zeros((VOCAB,)))
    assert p_value_on_hostile_pair() < 1e-3


def test_one_random_stream_for_all_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault under `token`: the draft is drawn with the noise that the recovery uses again."""

    def shared(seed: int, position: int, stream: Stream, salt: int) -> tuple[int, int]:
        return stream_key(seed, position, Stream.RECOVER, salt)

    monkeypatch.setattr(mlx_spec.drafters.draft_model, "stream_key", shared)
    assert p_value_on_hostile_pair() < 1e-3
