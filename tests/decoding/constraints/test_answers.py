"""Answers with a grammar: always of it, and the same ids however they are drafted, alone or among others."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mlx_spec.batching.batch import Batch
from mlx_spec.config import DrafterName, SamplingParams, SpeculativeConfig, tree_settings
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.decoding.constraints.wanted import Constraint
from mlx_spec.errors import GrammarError
from mlx_spec.events import AnswerFailed, Event, GenerationFinished, RoundFinished
from tests.decoding.constraints.shapes import SCHEMAS
from tests.decoding.drafters.published import HIDDEN, LAYERS
from tests.decoding.drafters.test_bridge_decoder import bridged_pair
from tests.decoding.drafters.test_decoding import heads_for
from tests.tiny import pair_of, tiny_llama, tiny_pair

PAIR = tiny_pair()
PROMPT = PAIR.encode("hello")
WAYS: list[tuple[DrafterName, int | str, str]] = [
    ("grammar", 8, "off"),
    ("model", 4, "off"),
    ("ngram", 3, "off"),
    ("auto", 6, "off"),
    ("auto", "auto", "off"),
    ("model", 3, "2x2"),
    ("model", 3, "3x3:6"),
]


def answered(
    constraint: Constraint | None,
    drafter: DrafterName = "none",
    lookahead: Any = None,
    tree: str = "off",
    *,
    max_tokens: int = 80,
    **params: Any,
) -> tuple[GenerationFinished, list[RoundFinished]]:
    """The end of an answer, and its rounds."""
    config = SpeculativeConfig(acceptance=params.pop("acceptance", "coupled"), **tree_settings(tree))
    decoder = SpeculativeDecoder(PAIR, config, drafter=drafter)
    events = list(
        decoder.stream(PROMPT, SamplingParams(**params), max_tokens, lookahead=lookahead, constraint=constraint)
    )
    assert isinstance(events[-1], GenerationFinished)
    return events[-1], [event for event in events if isinstance(event, RoundFinished)]


def check(schema: dict[str, Any], finished: GenerationFinished) -> None:
    """What is whole is valid; what was cut says so."""
    if finished.finish_reason == "stop":
        jsonschema.validate(json.loads(finished.text), schema)
    else:
        assert finished.finish_reason == "length"


@pytest.mark.in_turn
@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("name", SCHEMAS)
def test_ids_are_those_of_plain_constrained_decoding(name: str, temperature: float) -> None:
    constraint, whole = Constraint.json_schema(SCHEMAS[name]), 0
    for seed in range(2 if temperature else 1):
        plain, _ = answered(constraint, temperature=temperature, seed=seed)
        check(SCHEMAS[name], plain)
        whole += plain.finish_reason == "stop"
        for drafter, lookahead, tree in WAYS[2 * seed + (temperature > 0) :: 3]:
            how = answered(constraint, drafter, lookahead, tree, temperature=temperature, seed=seed)
            assert how[0].token_ids == plain.token_ids, (drafter, lookahead, tree, how[0].text, plain.text)
            assert how[0].finish_reason == plain.finish_reason
    assert whole, "no answer came to its end, so nothing was shown"


@pytest.mark.parametrize("acceptance", ["token", "block", "typical"])
def test_every_rule_keeps_to_the_grammar(acceptance: str) -> None:
    for seed in range(2):
        how = answered(
            Constraint.json_schema(SCHEMAS["flat"]), "auto", 5, temperature=0.8, seed=seed, acceptance=acceptance
        )
        check(SCHEMAS["flat"], how[0])


def test_filters_penalties_and_biases_come_with_it() -> None:
    constraint = Constraint.json_schema(SCHEMAS["nested"])
    settings: dict[str, Any] = {"temperature": 0.9, "seed": 5, "top_k": 3, "top_p": 0.9, "min_p": 0.05}
    settings |= {"repetition_penalty": 1.3, "presence_penalty": 0.5, "logit_bias": {65: 5.0, 258: 50.0}}
    plain, _ = answered(constraint, **settings)
    check(SCHEMAS["nested"], plain)
    assert answered(constraint, "auto", 5, **settings)[0].token_ids == plain.token_ids


def test_forced_text_is_drafted_and_stands() -> None:
    constraint = Constraint.json_schema(SCHEMAS["nested"])
    plain, plain_rounds = answered(constraint, temperature=0.8, seed=1)
    grammar, grammar_rounds = answered(constraint, "grammar", 8, temperature=0.8, seed=1)
    model, model_rounds = answered(constraint, "model", 8, temperature=0.8, seed=1)
    assert grammar.stats.acceptance_rate == 1.0  # one token a byte: the forced text has one tokenisation
    assert len(grammar_rounds) < 0.6 * len(plain_rounds)
    assert len(model_rounds) < len(grammar_rounds)
    assert model.stats.draft_forward_passes < model.stats.draft_tokens / 2, "what is forced takes the draft no pass"
    assert plain.token_ids == grammar.token_ids == model.token_ids


def test_a_draft_that_is_the_target_is_always_right() -> None:
    """So it has read all that was forced, once, and nothing that was rejected: whatever the rounds were."""
    pair = pair_of(tiny_llama(0), tiny_llama(0))
    decoder = SpeculativeDecoder(pair, drafter="model")
    for lookahead in (2, 5):
        params = SamplingParams(temperature=0.8, seed=3)
        *_, end = decoder.stream(
            PROMPT, params, 80, lookahead=lookahead, constraint=Constraint.json_schema(SCHEMAS["nested"])
        )
        assert isinstance(end, GenerationFinished)
        assert end.stats.tested_tokens == end.stats.accepted_tokens > 10


def test_it_ends_at_max_tokens_and_only_where_it_may() -> None:
    constraint, settings = Constraint.json_object(), {"logit_bias": {258: 100.0}, "temperature": 0.8, "seed": 2}
    cut, _ = answered(constraint, "auto", 5, max_tokens=7, **settings)
    assert cut.finish_reason == "length"
    assert len(cut.token_ids) == 7
    eager, _ = answered(constraint, "auto", 5, **settings)
    assert eager.finish_reason == "stop"
    assert isinstance(json.loads(eager.text), dict)


def told(batch: Batch) -> Iterator[tuple[str, Event]]:
    """All events of a batch until it is idle."""
    while not batch.is_idle:
        yield from batch.step()


def test_among_others_each_has_the_words_that_it_has_alone_and_a_failure_is_its_own() -> None:
    decoder = SpeculativeDecoder(PAIR, drafter="auto")
    decoder.calibrate()
    batch = Batch(decoder)
    alone = {}
    for number, (name, schema) in enumerate(list(SCHEMAS.items())[:3]):
        settings: dict[str, Any] = {"temperature": 0.8, "seed": number}
        alone[name], _ = answered(Constraint.json_schema(schema), **settings)
        batch.add(name, PROMPT, SamplingParams(**settings), 80, constraint=Constraint.json_schema(schema))
    alone["free"], _ = answered(None, temperature=0.8, seed=9, max_tokens=30)
    batch.add("free", PROMPT, SamplingParams(temperature=0.8, seed=9), 30)
    digits = Constraint.regex("[0-9]{3}")
    banned = tuple(map(PAIR.tokenizer.convert_tokens_to_ids, "0123456789"))
    batch.add("none left", PROMPT, SamplingParams(seed=1, banned_token_ids=banned), 9, constraint=digits)
    ends = {name: event for name, event in told(batch) if isinstance(event, GenerationFinished | AnswerFailed)}
    failed = ends.pop("none left")
    assert isinstance(failed, AnswerFailed)
    assert isinstance(failed.error, GrammarError)
    assert "no token that may come next" in str(failed.error)
    assert {name: getattr(end, "token_ids", end) for name, end in ends.items()} == {
        name: end.token_ids for name, end in alone.items()
    }


def test_what_cannot_be_compiled_is_refused_before_anything_is_read() -> None:
    decoder = SpeculativeDecoder(PAIR)
    with pytest.raises(GrammarError, match="unclosed group"):
        decoder.stream(PROMPT, constraint=Constraint.regex("(a"))
    events = decoder.stream(PROMPT, max_tokens=3)
    assert sum(isinstance(event, GenerationFinished) for event in events) == 1


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_a_draft_with_other_words_keeps_to_the_grammar_too(temperature: float) -> None:
    pair = bridged_pair()
    decoder = SpeculativeDecoder(pair)
    constraint = Constraint.regex("(the|quick|lazy|dog|fox|sleeps|,| ){12}")
    found = []
    for drafter, lookahead in (("none", None), ("model", 4), ("auto", 5)):
        params = SamplingParams(temperature=temperature, seed=2)
        events = decoder.stream(
            pair.encode("The fox"), params, 60, drafter=drafter, lookahead=lookahead, constraint=constraint
        )
        *_, end = events
        assert isinstance(end, GenerationFinished)
        found.append((end.token_ids, end.finish_reason))
        assert re.fullmatch("(the|quick|lazy|dog|fox|sleeps|,| ){12}", end.text)
    assert found[0] == found[1] == found[2]


def test_heads_keep_to_the_grammar_too(tmp_path: Path) -> None:
    target = tiny_llama(0, layers=LAYERS, hidden=HIDDEN, scale=0.5)
    pair = replace(pair_of(target, None), heads=heads_for(target, tmp_path))
    constraint = Constraint.json_schema(SCHEMAS["flat"])
    found = []
    for drafter, tree in (("none", "off"), ("eagle", "off"), ("medusa", "off"), ("eagle", "3x2"), ("dflash", "off")):
        decoder = SpeculativeDecoder(pair, SpeculativeConfig(adaptive_lookahead=False, **tree_settings(tree)))
        params = SamplingParams(temperature=0.8, seed=4)
        *_, end = decoder.stream(PROMPT, params, 40, drafter=drafter, constraint=constraint)
        assert isinstance(end, GenerationFinished)
        found.append(end.token_ids)
        assert found[-1] == found[0], drafter
        assert (end.stats.draft_tokens > 0) == (drafter != "none")


def test_an_end_that_leaves_no_choice_takes_no_pass_unless_its_probability_is_asked_for() -> None:
    constraint = Constraint.regex("[0-9]{3}")
    for drafter in ("none", "auto"):
        finished, rounds = answered(constraint, drafter, temperature=0.8, seed=1)
        assert (finished.finish_reason, len(finished.token_ids)) == ("stop", 3)
        assert len(rounds) <= 3
        assert rounds[-1].emitted, "no round for the end alone"
    cut, _ = answered(constraint, max_tokens=3, temperature=0.8, seed=1)
    assert cut.finish_reason == "length"
    decoder = SpeculativeDecoder(PAIR, drafter="none")
    params = SamplingParams(temperature=0.8, seed=1)
    *events, told_end = decoder.stream(PROMPT, params, 80, constraint=constraint, logprobs=0)
    assert isinstance(told_end, GenerationFinished)
    assert told_end.token_ids == finished.token_ids
    assert [event.end is not None for event in events if isinstance(event, RoundFinished)] == [False] * 3 + [True]
