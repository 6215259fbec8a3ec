"""Changing a running answer from another thread, and the alternatives that each token tells."""

import pytest

from mlx_spec import SamplingParams, SpeculativeDecoder
from mlx_spec.config import SpeculativeConfig
from mlx_spec.decoding.steering import Change, Steering
from mlx_spec.errors import ConfigError
from mlx_spec.events import GenerationFinished, RoundFinished
from mlx_spec.models.loading import ModelPair
from tests.tiny import tiny_pair

SAMPLED = SamplingParams(temperature=0.8, seed=11)


@pytest.fixture(scope="module")
def pair() -> ModelPair:
    return tiny_pair()


def run(
    pair: ModelPair, changes: dict[int, Change], *, drafter: str = "auto", params: SamplingParams = SAMPLED
) -> tuple:
    """An answer that is steered after the given rounds; gives its rounds and its end."""
    steering = Steering()
    decoder = SpeculativeDecoder(pair, SpeculativeConfig(acceptance_threshold=0.0), drafter=drafter)
    prompt = pair.tokenizer.encode("say it again, say it again, say it again")
    rounds, end = [], None
    for event in decoder.stream(prompt, params, 80, lookahead=4, steering=steering):
        if isinstance(event, RoundFinished):
            rounds.append(event)
            if change := changes.get(event.index):
                steering.steer(change)
        elif isinstance(event, GenerationFinished):
            end = event
    return rounds, end


def test_a_change_holds_from_the_next_planned_round_on_and_keeps_the_words(pair: ModelPair) -> None:
    _, untouched = run(pair, {})
    changes = {
        2: Change(lookahead=7),
        6: Change(drafter="ngram"),
        10: Change(drafter="none"),
        14: Change(drafter="auto", lookahead=2),
        18: Change(acceptance_threshold=0.9),
    }
    rounds, end = run(pair, changes)
    assert end.token_ids == untouched.token_ids
    # A round tells its event when the next is on its way already: the change is in the round after that.
    assert [one.lookahead for one in rounds[:6]] == [4, 4, 4, 4, 7, 7]
    assert {one.drafter for one in rounds[8:11]} <= {"ngram", None}
    assert {one.drafter for one in rounds[12:15]} == {None}
    assert {one.drafter for one in rounds[16:19]} == {"model"}
    assert any(len(one.drafted) < one.lookahead for one in rounds[20:]), "an unsure draft stops early"


def test_trees_may_be_asked_for_and_left_again_and_keep_the_words(pair: ModelPair) -> None:
    _, untouched = run(pair, {}, drafter="model")
    changes = {2: Change(tree="3x2"), 5: Change(tree="4x4:9"), 8: Change(tree="off")}
    rounds, end = run(pair, changes, drafter="model")
    assert end.token_ids == untouched.token_ids
    assert [one.branched for one in rounds[:12]] == [False] * 4 + [True] * 6 + [False] * 2


def test_what_does_not_go_with_the_settings_of_the_answer_is_refused_and_changes_nothing(pair: ModelPair) -> None:
    steering = Steering()
    stream = SpeculativeDecoder(pair, drafter="model").stream([1, 2, 3], SAMPLED, 20, lookahead=4, steering=steering)
    next(event for event in stream if isinstance(event, RoundFinished))
    steering.steer(Change(tree="2x2"))
    with pytest.raises(ConfigError, match="coupled, token or typical where tree_speculation is on"):
        steering.steer(Change(acceptance="block"))
    with pytest.raises(ConfigError, match="off, DEPTHxBRANCHING as in 3x2"):
        steering.steer(Change(tree="many"))
    assert any(isinstance(event, RoundFinished) and event.branched for event in stream)


def test_a_rule_may_change_between_rounds_and_lossy_is_told(pair: ModelPair) -> None:
    _, token = run(pair, {3: Change(acceptance="token")})
    assert token.stats.lossless
    assert token.stats.accepted_tokens > 0
    _, lossy = run(pair, {3: Change(acceptance="typical"), 8: Change(acceptance="coupled")})
    assert not lossy.stats.lossless, "lossy once, lossy for good"


def test_what_steering_held_before_the_answer_counts_from_its_first_round(pair: ModelPair) -> None:
    steering = Steering()
    steering.steer(Change(lookahead=3))
    steering.steer(Change(drafter="model"))
    events = SpeculativeDecoder(pair).stream([72, 101], SAMPLED, 12, steering=steering)
    first = next(event for event in events if isinstance(event, RoundFinished))
    assert (first.lookahead, first.drafter) == (3, "model")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (Change(lookahead=0), "lookahead is 0"),
        (Change(acceptance_threshold=1.5), "acceptance_threshold is 1.5"),
        (Change(drafter="eagle"), "drafter is 'eagle'"),
    ],
)
def test_a_change_out_of_range_is_refused_at_once_and_changes_nothing(
    pair: ModelPair, change: Change, named: str
) -> None:
    steering = Steering()
    list(SpeculativeDecoder(pair).stream([72], SAMPLED, 2, steering=steering))
    with pytest.raises(ConfigError, match=named):
        steering.steer(change)
    assert steering.take() is None


def test_a_plain_answer_cannot_begin_to_draft(pair: ModelPair) -> None:
    """Its cache keeps nothing to roll back to."""
    steering = Steering()
    list(SpeculativeDecoder(pair, drafter="none").stream([72], SAMPLED, 2, steering=steering))
    with pytest.raises(ConfigError, match="decoded plainly from its beginning"):
        steering.steer(Change(drafter="model"))


@pytest.mark.parametrize("params", [SamplingParams(), SAMPLED, SamplingParams(temperature=1, top_k=2, seed=3)])
def test_alternatives_are_the_likeliest_tokens_of_the_token_s_own_place(
    pair: ModelPair, params: SamplingParams
) -> None:
    decoder = SpeculativeDecoder(pair, SpeculativeConfig(acceptance_threshold=0.0))
    prompt = pair.tokenizer.encode("hello")
    plain = [
        e for e in decoder.stream(prompt, params, 24, drafter="none", alternatives=3) if isinstance(e, RoundFinished)
    ]
    told = {one.emitted[0].position: one.emitted[0].target_top for one in plain if one.emitted}
    for event in decoder.stream(prompt, params, 24, drafter="model", lookahead=4, alternatives=3):
        for place, token in enumerate(event.emitted if isinstance(event, RoundFinished) else ()):
            top = token.target_top
            assert [a.token_id for a in top] == [a.token_id for a in told[token.position]], "whoever drafted"
            assert [a.probability for a in top] == sorted((a.probability for a in top), reverse=True)
            assert len(top) == (2 if params.top_k == 2 else 3)
            for alternative in top:
                if alternative.token_id == token.token_id:
                    assert alternative.probability == pytest.approx(token.p, rel=1e-5)
            assert bool(token.draft_top) == (place < len(event.drafted))
            drafted = event.drafted[place] if place < len(event.drafted) else None
            if drafted and drafted.token_id in (ids := {a.token_id: a.probability for a in token.draft_top}):
                assert ids[drafted.token_id] == pytest.approx(drafted.q, rel=1e-5)


def test_nothing_is_looked_for_when_nobody_asked(pair: ModelPair, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the likeliest tokens were computed")

    monkeypatch.setattr("mlx_spec.decoding.outcome.likeliest", fail)
    rounds, _ = run(pair, {})
    assert not any(token.target_top or token.draft_top for one in rounds for token in one.emitted)
