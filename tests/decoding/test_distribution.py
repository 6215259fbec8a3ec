"""The exact rules draw from the target's own distribution: χ² on a model whose every probability is known.

Given the two tokens before it, each token is a draw from a known row, whatever was drafted. So all positions of a few
long answers are pooled by those two tokens: far fewer answers show as much as many short ones.
"""

import itertools

import mlx.core as mx
import numpy as np
import pytest
from scipy import stats

import mlx_spec.acceptance.chain_rules
import mlx_spec.decoding.drafters.base
from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.decoding.drafters.base import DrawSettings
from mlx_spec.events import GenerationFinished
from mlx_spec.sampling.gumbel import Stream, stream_key
from tests import oracle
from tests.tiny import TableModel, pair_of

VOCAB = 4
ANSWERS, LENGTH = 3, 200
PROMPT = [1, 2]
CHANCE = 1e-3
"""The seeds are fixed, so a p-value under this is a change of the code, not bad luck."""


def table(seed: int) -> np.ndarray:
    """Random logits `[vocab, vocab, vocab]`."""
    return (np.random.default_rng(seed).normal(size=(VOCAB, VOCAB, VOCAB)) * 1.6).astype(np.float32)


def transitions(decoder: SpeculativeDecoder, params: SamplingParams) -> np.ndarray:
    """How often each token followed each two, `[vocab, vocab, vocab]`."""
    found = np.zeros((VOCAB, VOCAB, VOCAB))
    for seed in range(ANSWERS):
        seeded = SamplingParams(temperature=params.temperature, top_p=params.top_p, seed=seed)
        *_, end = decoder.stream(PROMPT, seeded, LENGTH)
        assert isinstance(end, GenerationFinished)
        text = [*PROMPT, *end.token_ids]
        np.add.at(found, (text[:-2], text[1:-1], text[2:]), 1)
    return found


def p_value(found: np.ndarray, p: np.ndarray) -> float:
    """χ² of counts `[rows, vocab]` against the distribution of each row; rare tokens count with the likeliest."""
    statistic, freedom = 0.0, 0
    for row, exact in zip(found, p, strict=True):
        assert not row[exact == 0].any(), "a token that the filters exclude was said"
        expected = exact * row.sum()
        rare = expected < 5
        cells = np.stack([row, expected])
        cells[:, np.argmax(expected)] += cells[:, rare].sum(axis=-1)
        seen, due = cells[:, ~rare]
        if len(due) > 1:
            statistic += float(((seen - due) ** 2 / due).sum())
            freedom += len(due) - 1
    return float(stats.chi2.sf(statistic, freedom))


def least_p_value(decoder: SpeculativeDecoder, logits: np.ndarray, params: SamplingParams) -> float:
    """Of two questions: are the tokens right after each two, and are they right on the whole?"""
    found = transitions(decoder, params).reshape(-1, VOCAB)
    p = np.array([oracle.warped(row, params) for row in logits.reshape(-1, VOCAB)])
    overall = (found.sum(axis=-1, keepdims=True) * p).sum(axis=0) / found.sum()
    return min(p_value(found, p), p_value(found.sum(axis=0)[None], overall[None]))


def decoder_for(rule: str, lookahead: int, p: np.ndarray, q: np.ndarray, **settings: float) -> SpeculativeDecoder:
    pair = pair_of(TableModel(mx.array(p)), TableModel(mx.array(q)), vocab=VOCAB)
    settings = {"acceptance_threshold": 0.0} | settings
    config = SpeculativeConfig(acceptance=rule, lookahead=lookahead, adaptive_lookahead=False, **settings)
    return SpeculativeDecoder(pair, config)


@pytest.mark.parametrize(
    ("rule", "lookahead"), [("coupled", 3), *itertools.product(["token", "block"], [3, 7]), ("token", 1)]
)
def test_every_token_has_the_targets_distribution(rule: str, lookahead: int) -> None:
    """At 7 the draft ends its chain where it is unsure, at the others it goes all the way."""
    params = SamplingParams(temperature=1.0) if lookahead != 3 else SamplingParams(temperature=0.8, top_p=0.9)
    threshold = 0.5 if lookahead == 7 else 0.0
    decoder = decoder_for(rule, lookahead, table(1), table(2), acceptance_threshold=threshold)
    assert least_p_value(decoder, table(1), params) >= CHANCE
    assert 0 < decoder.stats().acceptance_rate < 1


# For the planted faults: the draft is sure of a token that the target hardly wants, and the target's two likely tokens
# stand very differently with the draft, so that a draw which remembers the draft's noise shows.
HOSTILE_P = np.log(np.broadcast_to(np.float32([0.1, 0.54, 0.35, 0.01]), (VOCAB, VOCAB, VOCAB)))
HOSTILE_Q = np.log(np.broadcast_to(np.float32([0.69, 0.3, 0.005, 0.005]), (VOCAB, VOCAB, VOCAB)))


def p_value_on_hostile_pair(rule: str = "token", **settings: float) -> float:
    return least_p_value(
        decoder_for(rule, 3, HOSTILE_P, HOSTILE_Q, **settings), HOSTILE_P, SamplingParams(temperature=1)
    )


@pytest.mark.parametrize("rule", ["token", "block"])
def test_the_hostile_pair_itself_is_served_exactly(rule: str) -> None:
    assert p_value_on_hostile_pair(rule) >= CHANCE


@pytest.mark.parametrize("temperature", [0.0, 0.5, 2.0])
def test_a_draft_with_its_own_temperature_is_served_exactly(temperature: float) -> None:
    """At 0 its q is a point mass, whatever its logits say."""
    assert p_value_on_hostile_pair(draft_temperature=temperature) >= CHANCE


def test_a_point_mass_where_q_is_spread_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault under `token`: the draft takes its likeliest token, and q is handed over as if it had drawn."""
    monkeypatch.setattr(DrawSettings, "choose", lambda self, row, *_: mx.argmax(row).astype(mx.int32))
    assert p_value_on_hostile_pair() < CHANCE


def test_one_random_stream_for_all_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault under `token`: the draft is drawn with the noise that the recovery uses again."""

    def shared(seed: int, position: int, stream: Stream, salt: int) -> tuple[int, int]:
        return stream_key(seed, position, Stream.RECOVER, salt)

    monkeypatch.setattr(mlx_spec.decoding.drafters.base, "stream_key", shared)
    assert p_value_on_hostile_pair() < CHANCE


def test_block_weights_that_forget_the_prefix_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault under `block`: each draft weighs min(1, p / q) of its own, whatever came before it."""

    def single(p_drafted: mx.array, q_drafted: mx.array) -> mx.array:
        return mx.concatenate([mx.array([1.0]), mx.minimum(p_drafted / q_drafted, 1.0)])

    monkeypatch.setattr(mlx_spec.acceptance.chain_rules, "prefix_weights", single)
    assert p_value_on_hostile_pair("block") < CHANCE
