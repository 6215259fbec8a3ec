"""The engine as it runs on a Mac, each launch emulated: it calls the kernels, and the words are the fallback's."""

import pytest

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.acceptance.tree import Shape
from mlx_spec.config import AcceptanceRule
from mlx_spec.events import GenerationFinished, RoundFinished
from mlx_spec.lookahead.fixed import FixedLookahead
from tests.machine.kernels.emulator.launches import Emulator, emulated
from tests.tiny import tiny_pair

TREE = Shape((2, 2, 1))
GREEDY = SamplingParams(seed=1)
FILTERED = SamplingParams(temperature=0.9, top_p=0.9, top_k=40, min_p=0.01, seed=2)
DRAWN = SamplingParams(temperature=1.1, seed=3)
BIASED = SamplingParams(temperature=1.0, seed=4, logit_bias={101: 3.0, 32: -2.0}, banned_token_ids=(97,))
PENALISED = SamplingParams(temperature=1.0, seed=5, repetition_penalty=1.3, logit_bias={101: 3.0})

VERIFIED = {"row_partials", "row_finish"}
CASES = [
    ("coupled", GREEDY, None, VERIFIED),
    ("coupled", FILTERED, None, {*VERIFIED, "row_thresholds"}),
    ("coupled", BIASED, None, VERIFIED),
    ("coupled", PENALISED, None, VERIFIED),
    ("coupled", DRAWN, TREE, {*VERIFIED, "compact"}),
    ("token", FILTERED, None, {*VERIFIED, "row_thresholds", "chain_decide"}),
    ("token", DRAWN, TREE, {*VERIFIED, "tree_decide", "compact", "chain_decide"}),
    ("block", DRAWN, None, {*VERIFIED, "chain_masses", "chain_decide"}),
]


def answer(
    rule: AcceptanceRule, params: SamplingParams, drafter: str
) -> tuple[GenerationFinished, list[RoundFinished]]:
    pair = tiny_pair(5, closeness=0.8)
    config = SpeculativeConfig(acceptance=rule, acceptance_threshold=0.0, tree_speculation=rule != "block")
    decoder = SpeculativeDecoder(pair, config, drafter="model")
    *events, end = decoder.stream(pair.encode("a tree"), params, 24, drafter=drafter, alternatives=2)
    assert isinstance(end, GenerationFinished)
    return end, [event for event in events if isinstance(event, RoundFinished)]


@pytest.mark.in_turn
@pytest.mark.parametrize(
    ("rule", "params", "shape", "kernels"),
    CASES,
    ids=["greedy", "filtered", "biased", "penalised", "tree", "token", "token tree", "block"],
)
def test_words_and_probabilities_are_the_fallbacks(
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    rule: AcceptanceRule,
    params: SamplingParams,
    shape: Shape | None,
    kernels: set[str],
) -> None:
    monkeypatch.setattr("mlx_spec.decoding.knowledge.controller", lambda *_: FixedLookahead(3, shape))
    expected, expected_rounds = answer(rule, params, "model")
    with emulated(emulator):
        got, rounds = answer(rule, params, "model")
    assert got.token_ids == expected.token_ids
    assert set(emulator.launched) == kernels
    assert [r.accepted_count for r in rounds] == [r.accepted_count for r in expected_rounds]
    for one, other in zip(rounds, expected_rounds, strict=True):
        for ours, theirs in zip((*one.emitted, *one.drafted), (*other.emitted, *other.drafted), strict=True):
            assert ours.p == pytest.approx(theirs.p, abs=1e-5)
            assert ours.q == pytest.approx(theirs.q, abs=1e-5)
        assert all(token.target_top for token in one.emitted)


def test_plain_decoding_takes_two_launches_a_token(emulator: Emulator) -> None:
    expected, _ = answer("coupled", DRAWN, "none")
    with emulated(emulator):
        got, rounds = answer("coupled", DRAWN, "none")
    assert got.token_ids == expected.token_ids
    assert emulator.launched == ["row_partials", "row_finish"] * len(rounds)
