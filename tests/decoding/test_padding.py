"""A pass may have more rows than were asked for, where the machine does those sooner: nobody's words change by it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import mlx.core as mx
import pytest

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.acceptance.tree import full_tree
from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.target import Target
from mlx_spec.events import GenerationFinished
from mlx_spec.lookahead.cost_controller import CostLookahead
from mlx_spec.lookahead.costs import Calibration
from mlx_spec.lookahead.plan import Observation
from mlx_spec.models.loading import ModelPair
from tests.tiny import pair_of, tiny_pair
from tests.zoo import ARCHITECTURES, zoo_model

# Sixteen rows for the time of one, two to fifteen as dear as can be.
STEP = Calibration((10.0, *[500.0] * 14, 10.0), 0.1)
CHAINS = SpeculativeConfig(acceptance_threshold=0.0)
TREES = SpeculativeConfig(tree_speculation=True, acceptance_threshold=0.0)


@pytest.fixture
def padded(monkeypatch: pytest.MonkeyPatch, lookahead_home: object) -> list[int]:
    """The rows that were added to each round's pass; costs stay as calibrated, whatever this machine takes."""
    rows: list[int] = []
    learn = CostLookahead.observe

    def observe(self: CostLookahead, round_: Observation) -> None:
        rows.append(round_.padded)
        learn(self, replace(round_, telling=False))

    monkeypatch.setattr("mlx_spec.decoding.knowledge.calibrated", lambda *_: STEP)
    monkeypatch.setattr(CostLookahead, "observe", observe)
    return rows


def ids(
    pair: ModelPair, config: SpeculativeConfig, params: SamplingParams, drafter: str, tokens: int = 40
) -> list[int]:
    decoder = SpeculativeDecoder(pair, config, drafter=drafter)  # type: ignore[arg-type]
    decoder.calibrate()
    *_, end = decoder.stream([1, 2, 3, 1, 2, 3, 1], params, tokens)
    assert isinstance(end, GenerationFinished)
    return list(end.token_ids)


@pytest.mark.parametrize("config", [CHAINS, TREES], ids=["chains", "trees"])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_padded_rounds_give_the_words_of_plain_decoding(
    padded: list[int], config: SpeculativeConfig, temperature: float
) -> None:
    pair, params = tiny_pair(0), SamplingParams(temperature=temperature, seed=5)
    expected = ids(pair, config, params, "none")
    assert not padded
    for drafter in ("model", "auto"):
        assert ids(pair, config, params, drafter) == expected
    assert set(padded) - {0}, "some passes were padded"
    assert all(rows < 16 for rows in padded)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_only_what_forgets_for_nothing_is_padded(padded: list[int], name: str) -> None:
    """A window that overwrites, or a state that is fed again, would pay for rows that nobody asked for."""
    pair = pair_of(zoo_model(name), None)
    params = SamplingParams(temperature=0.0)
    expected = ids(pair, CHAINS, params, "none", 12)
    assert ids(pair, CHAINS, params, "ngram", 12) == expected
    target = Target(pair.target, name, speculative=True)
    if not target.takes_padding:
        assert not any(padded)


def test_no_row_stands_beyond_the_end_of_the_context(padded: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    pair = replace(tiny_pair(0), context_length=20)
    ends: list[int] = []
    end: Callable[..., mx.array] = CachedModel.end

    def watched(self: CachedModel, *made: Any) -> mx.array:
        ends.append(self.caches[0].offset)  # after the pass, before anything is forgotten
        return end(self, *made)

    monkeypatch.setattr(CachedModel, "end", watched)
    ids(pair, CHAINS, SamplingParams(temperature=0.0), "model", 100)
    assert max(ends) <= 20
    assert any(padded)


def test_padding_of_a_tree_is_seen_by_nobody() -> None:
    pair = tiny_pair(0)
    tree = full_tree((2, 2))
    drafts = mx.array([5, 6, 7, 8, 9, 10], dtype=mx.int32)
    rows = []
    for padding in (0, 9):
        target = Target(pair.target, "tiny", speculative=True)
        target.prefill([1, 2, 3])
        logits = target.score(4, drafts, tree, padding)
        rows.append(logits)
        assert logits.shape[0] == 7
        target.commit([2, 5])
        rows.append(target.score(11, None))
    assert mx.allclose(rows[0], rows[2], atol=1e-5).item()
    assert mx.allclose(rows[1], rows[3], atol=1e-5).item()
