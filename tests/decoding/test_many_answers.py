"""Answers of all kinds in one step share the target's pass, and each has the words that it has alone."""

import random
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest

from mlx_spec import SamplingParams, SpeculativeConfig
from mlx_spec.acceptance.tree import Shape
from mlx_spec.config import DrafterName
from mlx_spec.decoder import step
from mlx_spec.decoding import phases
from mlx_spec.decoding.admission import admit
from mlx_spec.decoding.answer import Answer
from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.cache.passes.ragged import RaggedPasses
from mlx_spec.decoding.prompt import read_prompt
from mlx_spec.decoding.tally import StatsCounter
from mlx_spec.decoding.target import Target
from mlx_spec.errors import NumericalError
from mlx_spec.lookahead.fixed import FixedLookahead
from mlx_spec.models.loading import ModelPair
from tests.tiny import pair_of, tiny_pair
from tests.zoo import ARCHITECTURES, VOCAB, WINDOW, mixed, zoo_model

TREES = SpeculativeConfig(tree_speculation=True, acceptance_threshold=0.0)
SHARE = 0.97
PROMPT = random.Random(3).choices(range(VOCAB), k=2 * WINDOW)


@dataclass(frozen=True)
class Asked:
    """An answer that somebody wants, from the step on in which it `joins`."""

    prompt: list[int]
    temperature: float
    drafter: DrafterName
    tokens: int
    joins: int = 0
    lookahead: int = 3
    tree: Shape | None = None
    penalty: float = 1.0

    def begun(self, pair: ModelPair, *, alone: bool = False) -> Answer:
        """The answer behind its prompt; `alone` it is decoded plainly."""
        params = SamplingParams(temperature=self.temperature, seed=len(self.prompt), repetition_penalty=self.penalty)
        drafter: DrafterName = "none" if alone else self.drafter
        request = admit(pair, TREES, self.prompt, params, self.tokens, drafter=drafter)
        fixed = FixedLookahead(0 if drafter == "none" else self.lookahead, None if alone else self.tree)
        answer = Answer(pair, request, lambda *_: fixed, StatsCounter())
        list(read_prompt(answer, lambda: False))
        return answer

    def alone(self, pair: ModelPair) -> tuple[int, ...]:
        answer = self.begun(pair, alone=True)
        while not answer.is_finished:
            step([answer])
        return answer.finished().token_ids


ASKED = (
    Asked(PROMPT[:3], 0.8, "model", 9),
    Asked(PROMPT, 0.0, "none", 14),
    Asked([7, 8, 9] * 4, 0.8, "ngram", 12, penalty=1.1),
    Asked(PROMPT[3:], 0.0, "model", 12, joins=2, tree=Shape((2, 2))),
    Asked(PROMPT[:9], 1.2, "none", 5, joins=3),
    Asked(PROMPT[5:12], 0.8, "model", 8, joins=5, tree=Shape((2, 1))),
)


def together(pair: ModelPair, asked: tuple[Asked, ...]) -> list[tuple[int, ...]]:
    """What all of them say, each joining when it does and leaving when it is done."""
    answers: dict[int, Answer] = {}
    for number in range(200):
        for at, one in enumerate(asked):
            if one.joins == number:
                answers[at] = one.begun(pair)
        going = [answer for answer in answers.values() if not answer.is_finished]
        if not going and len(answers) == len(asked):
            break
        assert len(step(going)) == len(going)
    return [answers[at].finished().token_ids for at in range(len(asked))]


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_answers_many_as_it_answers_each(name: str) -> None:
    target = zoo_model(name)
    pair = pair_of(target, mixed(target, zoo_model(name, seed=9), SHARE), vocab=VOCAB)
    assert together(pair, ASKED) == [one.alone(pair) for one in ASKED]


def test_drafts_are_right_now_and_then_and_some_are_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above decodes is what it means to."""
    trees, asked = [], Target.asked
    monkeypatch.setattr(Target, "asked", lambda self, *given: trees.append(given[2]) or asked(self, *given))
    target = zoo_model("llama")
    pair = pair_of(target, mixed(target, zoo_model("llama", seed=9), SHARE), vocab=VOCAB)
    answers = [one.begun(pair) for one in ASKED]
    told = []
    while going := [answer for answer in answers if not answer.is_finished]:
        told += step(going)
    accepted = [event.accepted_count for event in told if event.drafted]
    assert {0, 1, 2} <= set(accepted)
    assert sum(tree is not None for tree in trees) > 3


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, int]]:
    """Each pass that was made: of which model, and for how many answers."""
    made: list[tuple[Any, int]] = []
    forward, run = CachedModel._forward, RaggedPasses.run

    def forwarded(self: CachedModel, *given: Any, **how: Any) -> Any:
        made.append((self.model, 1))
        return forward(self, *given, **how)

    def ran(self: RaggedPasses, parts: Any, *given: Any, **how: Any) -> Any:
        made.append((self.model, len(parts)))
        return run(self, parts, *given, **how)

    monkeypatch.setattr(CachedModel, "_forward", forwarded)
    monkeypatch.setattr(RaggedPasses, "run", ran)
    return made


def of(model: nn.Module, passes: list[tuple[Any, int]]) -> list[int]:
    """For how many answers each pass of a model was, since last asked."""
    counts = [count for made, count in passes if made is model]
    passes.clear()
    return counts


def test_a_step_is_one_pass_of_the_target(passes: list[tuple[Any, int]]) -> None:
    pair = tiny_pair(0)
    drafting = [one.begun(pair) for one in ASKED]
    for _ in range(2):  # whether it can be compiled, and how deep its passes are divided
        step(drafting)
    of(pair.target, passes)
    step(drafting)
    assert of(pair.target, passes) == [len(ASKED)]
    plain = [one.begun(pair) for one in (ASKED[1], ASKED[4])]
    of(pair.target, passes)
    step(plain)
    assert of(pair.target, passes) == [2], "the first words wait for nothing else"
    step(plain)
    assert of(pair.target, passes) == [2, 2], "where nobody drafts, the next pass is under way already"
    step(plain)
    assert of(pair.target, passes) == [2]
    step(plain[:1])
    assert of(pair.target, passes) == [1]


def test_drafts_of_one_model_are_a_pass_a_level(passes: list[tuple[Any, int]]) -> None:
    pair = tiny_pair(0)
    lengths = (3, 1, 2, 3)
    asked = [Asked(PROMPT[at:], 0.8, "model", 30, lookahead=length) for at, length in enumerate(lengths)]
    asked.append(Asked(PROMPT, 0.0, "model", 30, tree=Shape((2, 2))))
    answers = [one.begun(pair) for one in asked]
    for _ in range(2):  # whether it can be compiled, and how deep its passes are divided
        step(answers)
    of(pair.draft, passes)
    step(answers)
    assert of(pair.draft, passes) == [5, 4, 2], "who has drafted enough leaves"


def test_times_in_company_tell_nothing_of_a_pass_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured for one answer's passes would be spoiled by those over the rows of many."""
    pair, told = tiny_pair(0), []
    monkeypatch.setattr(FixedLookahead, "observe", lambda self, round_: told.append(round_.telling))
    monkeypatch.setattr(Target, "built_anew", False)
    answers = [one.begun(pair) for one in ASKED[:3]]
    for _ in range(2):
        step(answers)
    assert told == [False] * 6
    told.clear()
    for _ in range(2):
        step(answers[:1])
    assert told == [True] * 2


def test_an_answer_that_fails_in_the_shared_pass_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are no numbers, those beside them are."""
    pair = tiny_pair(0)
    answers = [one.begun(pair) for one in ASKED]
    step(answers)
    broken, scored = answers[2], phases.score_all

    def spoiled(asked: Any) -> list[mx.array]:
        found = scored(asked)
        return [
            rows * mx.nan if one.part.cached is broken.target._cached else rows
            for one, rows in zip(asked, found, strict=True)
        ]

    monkeypatch.setattr(phases, "score_all", spoiled)
    while going := [answer for answer in answers if not answer.is_finished and answer.failure is None]:
        step(going)
    assert isinstance(broken.failure, NumericalError)
    for answer, one in zip(answers, ASKED, strict=True):
        if answer is not broken:
            assert answer.finished().token_ids == one.alone(pair)
