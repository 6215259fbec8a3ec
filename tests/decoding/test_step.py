"""One step is one round of every answer that is under way, and none of them sees the others."""

from typing import Any

import pytest

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.config import DrafterName
from mlx_spec.decoder import step
from mlx_spec.decoding import phases
from mlx_spec.decoding.admission import admit
from mlx_spec.decoding.answer import Answer
from mlx_spec.decoding.prompt import read_prompt
from mlx_spec.decoding.tally import StatsCounter
from mlx_spec.errors import NumericalError
from mlx_spec.events import GenerationFinished
from mlx_spec.lookahead.fixed import FixedLookahead
from mlx_spec.models.loading import ModelPair
from tests.tiny import tiny_pair

ASKED: list[tuple[list[int], SamplingParams, DrafterName, int]] = [
    ([5, 6, 7], SamplingParams(temperature=0.8, seed=1), "model", 20),
    (list(range(60, 160)), SamplingParams(temperature=0), "none", 11),
    ([9, 9, 9, 9, 9], SamplingParams(temperature=1.1, seed=3, repetition_penalty=1.2), "ngram", 30),
]


def begun(pair: ModelPair, prompt: list[int], params: SamplingParams, drafter: DrafterName, tokens: int) -> Answer:
    request = admit(pair, SpeculativeConfig(), prompt, params, tokens, drafter=drafter)
    answer = Answer(pair, request, lambda *_: FixedLookahead(0 if drafter == "none" else 3), StatsCounter())
    list(read_prompt(answer, lambda: False))
    return answer


def alone(pair: ModelPair, prompt: list[int], params: SamplingParams, tokens: int) -> tuple[int, ...]:
    events = SpeculativeDecoder(pair, drafter="none").stream(prompt, params, tokens)
    return next(event.token_ids for event in events if isinstance(event, GenerationFinished))


def test_answers_in_step_have_the_words_that_they_have_alone() -> None:
    pair = tiny_pair(0)
    answers = [begun(pair, *asked) for asked in ASKED]
    rounds = []
    while going := [answer for answer in answers if not answer.is_finished]:
        told = step(going)
        assert len(told) == len(going)
        rounds.append([event.index for event in told])
    assert rounds[0] == [0, 0, 0], "each counts its own rounds"
    assert len(rounds[-1]) == 1, "who is done leaves the step"
    found = [answer.finished().token_ids for answer in answers]
    assert found == [alone(pair, prompt, params, tokens) for prompt, params, _, tokens in ASKED]


def test_a_step_gives_each_answer_its_own_tokens() -> None:
    pair = tiny_pair(0)
    answers = [begun(pair, *asked) for asked in ASKED[:2]]
    gained = [[token.token_id for token in event.emitted] for event in step(answers)]
    assert gained == [answer.transcript.token_ids for answer in answers]
    assert all(answer.round is None for answer in answers), "the first words wait for no draft"
    step(answers)
    assert all(answer.round is not None for answer in answers), "the next round is under way already"


def test_an_answer_that_fails_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = tiny_pair(0)
    answers = [begun(pair, *asked) for asked in ASKED]
    step(answers)
    broken = answers[1]
    read = phases.read_outcome

    def failing(*given: Any) -> Any:
        if broken.round is None and broken.failure is None:  # it is the one that is being read
            raise NumericalError("not numbers")
        return read(*given)

    monkeypatch.setattr(phases, "read_outcome", failing)
    assert len(step(answers)) == 2
    assert isinstance(broken.failure, NumericalError)
    others = [answers[0], answers[2]]
    while going := [answer for answer in others if not answer.is_finished]:
        step(going)
    for answer, (prompt, params, _, tokens) in zip(others, (ASKED[0], ASKED[2]), strict=True):
        assert answer.finished().token_ids == alone(pair, prompt, params, tokens)
