"""Rounds that answers share: whose times they are, what is learnt from them, and who plans them."""

from collections.abc import Sequence

import pytest

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.config import DrafterName
from mlx_spec.decoder import step
from mlx_spec.decoding.admission import admit
from mlx_spec.decoding.answer import Answer
from mlx_spec.decoding.clock import RoundClock
from mlx_spec.decoding.knowledge import Knowledge
from mlx_spec.decoding.prompt import read_prompt
from mlx_spec.decoding.tally import StatsCounter
from mlx_spec.decoding.target import Target
from mlx_spec.events import SpeculativeStats
from mlx_spec.lookahead.cost_controller import CostLookahead
from mlx_spec.lookahead.costs import Calibration
from mlx_spec.lookahead.experience import Experience
from mlx_spec.lookahead.fixed import FixedLookahead
from mlx_spec.lookahead.plan import LookaheadController
from mlx_spec.lookahead.shared_costs import SharedCosts, SharedDrafting
from mlx_spec.models.loading import ModelPair
from tests.tiny import tiny_pair

PROMPTS = ([5, 6, 7], list(range(60, 100)), [9, 9, 9, 9, 9], [3, 1, 4, 1, 5])
FLAT = Calibration(tuple(30.0 + 0.1 * rows for rows in range(32)), 0.5, 0.05)
STEEP = Calibration(tuple(30.0 * rows for rows in range(1, 33)), 0.5, 0.05)
RIGHT = Experience({"model/0": ((0.9, 1.0, 16.0),) * 8})


@pytest.fixture(scope="module")
def pair() -> ModelPair:
    return tiny_pair(0)


def begun(
    pair: ModelPair, controllers: Sequence[LookaheadController], stats: StatsCounter, drafter: DrafterName = "model"
) -> list[Answer]:
    answers = []
    for prompt, controller in zip(PROMPTS, controllers, strict=False):
        params = SamplingParams(temperature=0.8, seed=len(prompt))
        request = admit(pair, SpeculativeConfig(acceptance_threshold=0.0), prompt, params, 24, drafter=drafter)
        answers.append(Answer(pair, request, lambda *_, one=controller: one, stats))
        list(read_prompt(answers[-1], lambda: False))
    return answers


def weighing(calibration: Calibration, count: int = 4) -> list[CostLookahead]:
    """Controllers that have seen a plain step of as many answers."""
    first = CostLookahead(SpeculativeConfig(), calibration, RIGHT)
    assert first.shared is not None
    first.shared.observe(count, count, calibration.verify_ms[count - 1], drafts=False)
    return [first, *(first.another() for _ in range(count - 1))]


def finish(answers: Sequence[Answer]) -> list[tuple[int, ...]]:
    while going := [answer for answer in answers if not answer.is_finished]:
        step(going)
    return [answer.finished().token_ids for answer in answers]


def test_whatever_is_chosen_the_words_are_the_same(pair: ModelPair) -> None:
    alone = [finish(begun(pair, [FixedLookahead(0)] * 4, StatsCounter())[at : at + 1])[0] for at in range(4)]
    for calibration, drafts in ((FLAT, True), (STEEP, False)):
        answers = begun(pair, weighing(calibration), StatsCounter())
        told = step(answers)
        assert all(bool(event.lookahead) is drafts and event.parked is not drafts for event in told)
        assert finish(answers) == alone


def test_what_a_pass_took_is_told_by_all_its_rows(pair: ModelPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not to the controllers, who plan what one alone does."""
    told: list[tuple[int, int, float, SharedDrafting, bool]] = []
    answers = begun(pair, weighing(FLAT), StatsCounter())
    monkeypatch.setattr(SharedCosts, "observe", lambda self, *given, drafts: told.append((*given, drafts)))
    monkeypatch.setattr(Target, "built_anew", False)
    monkeypatch.setattr(RoundClock, "held_up_ms", 5.0)
    before = answers[0].controller.plain_step_ms
    rounds = [step(answers) for _ in range(3)]
    assert len(told) == 3
    for events, (count, rows, verify_ms, drafting, drafts) in zip(rounds, told, strict=True):
        assert count == 4
        assert drafts
        assert rows == sum(len(event.drafted) + 1 for event in events)
        assert drafting.levels == max(len(event.drafted) for event in events)
        assert (drafting.drafter, drafting.step_ms) == ("model", 0.5)
        assert sum(event.verify_ms for event in events) + 5.0 == pytest.approx(verify_ms), "telling held it up besides"
        assert sum(event.draft_ms for event in events) == pytest.approx(drafting.milliseconds)
    assert answers[0].controller.plain_step_ms == before


def test_a_joiner_has_a_pass_before_it_that_tells_nothing(pair: ModelPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those under way had launched theirs without it."""
    told: list[int] = []
    answers = begun(pair, weighing(STEEP), StatsCounter())
    monkeypatch.setattr(SharedCosts, "observe", lambda self, answers, *_, drafts: told.append(answers))
    monkeypatch.setattr(Target, "built_anew", False)
    step(answers[:3])
    step(answers[:3])
    step(answers)
    step(answers)
    assert told == [3, 3, 4]


def test_shares_go_by_rows_and_a_round_lasts_as_long_for_all(pair: ModelPair) -> None:
    answers = begun(pair, [FixedLookahead(3), FixedLookahead(0), FixedLookahead(1)], StatsCounter())
    step(answers)
    events = step(answers)
    rows = [len(event.drafted) + 1 for event in events]
    assert rows == [4, 1, 2]
    whole = sum(event.verify_ms for event in events)
    assert [event.verify_ms / whole for event in events] == pytest.approx([4 / 7, 1 / 7, 2 / 7])
    assert events[1].draft_ms == 0.0
    assert events[0].draft_ms == pytest.approx(3 * events[2].draft_ms)
    assert min(event.round_ms for event in events) >= whole


def test_the_speedup_of_a_shared_round_is_against_as_many_plain_answers(pair: ModelPair) -> None:
    stats = StatsCounter()
    stats.add(SpeculativeStats(plain_step_ms=30.0))
    controllers = weighing(FLAT)
    answers = begun(pair, controllers, stats)
    events = [event for _ in range(3) for event in step(answers)]
    assert controllers[0].shared is not None
    for event in events[-4:]:
        assert event.plain_step_ms == pytest.approx(controllers[0].shared.passes.at(4, 4))
    own = answers[0].tally.close()
    assert own.shared_tokens == own.total_tokens_generated > 0
    assert own.speedup == pytest.approx(own.shared_plain_time_ms / own.total_time_ms)
    assert own.plain_step_ms == 30.0, "what one alone takes was not seen"


def test_rounds_alone_and_shared_count_each_by_their_own_plain_step() -> None:
    stats = SpeculativeStats(
        total_tokens_generated=30,
        total_time_ms=1000.0,
        plain_step_ms=40.0,
        shared_tokens=20,
        shared_plain_time_ms=20 * 70.0,
    )
    assert stats.speedup == pytest.approx((10 * 40 + 20 * 70) / 1000)


def test_answers_at_the_same_time_have_a_controller_each(pair: ModelPair) -> None:
    """And one after the other the same: what it has learnt serves the next."""
    knowledge, config, params = Knowledge(pair), SpeculativeConfig(), SamplingParams()
    first = knowledge.controller(config, params)
    second = knowledge.controller(config, params)
    assert first is not second
    assert first.shared is second.shared is knowledge.shared()
    first.end()
    assert knowledge.controller(config, params) is first
    assert knowledge.controller(config, params) not in (first, second)


def test_an_answer_that_is_over_gives_its_controller_back(pair: ModelPair) -> None:
    decoder = SpeculativeDecoder(pair)
    for tokens in (3, 100):
        events = decoder.stream([1, 2, 3], max_tokens=tokens)
        next(events)
        if tokens == 3:
            list(events)
        else:
            events.close()
    every = [one for pool in decoder._knowledge._controllers.values() for one in pool]
    assert [one.in_use for one in every] == [False]
