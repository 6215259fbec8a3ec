"""Answers that step aside where blocks run out come back with the same words, however they did."""

from dataclasses import replace
from typing import Any

import mlx.core as mx
import pytest
import regex

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.batching import BatchSettings
from mlx_spec.batching.seat import shorten
from mlx_spec.batching.settings import PreemptionName
from mlx_spec.config import DrafterName
from mlx_spec.decoder import step
from mlx_spec.decoding.cache import swapping
from mlx_spec.decoding.constraints.wanted import Constraint
from mlx_spec.decoding.prompt import read_prompt
from mlx_spec.events import AnswerFailed, GenerationFinished, Preempted, PrefillProgress, Resumed, RoundFinished
from mlx_spec.models.loading import ModelPair
from tests.batching.asked import BLOCK, Asked, Run, batch_of, run, some
from tests.decoding.drafters.published import HIDDEN, LAYERS
from tests.decoding.drafters.test_decoding import heads_for
from tests.tiny import TINY_VOCAB, pair_of, tiny_llama, tiny_pair
from tests.zoo import VOCAB, mixed, zoo_model

pytestmark = pytest.mark.usefixtures("small_chunks")

KINDS = ("llama", "gemma3", "mamba2", "qwen3_next", "llama4")
WAYS: tuple[PreemptionName, ...] = ("swap", "recompute")
TREES = SpeculativeConfig(tree_speculation=True, acceptance_threshold=0.0)
FIXED = SpeculativeConfig(lookahead=3, adaptive_lookahead=False, acceptance_threshold=0.0)


BLOCKS = 10
DATED = regex.compile("(on 20[0-9]{2}-[0-9]{2}; ){1,9}")
DATES = Constraint.regex(DATED.pattern)


def crowd(vocab: int, count: int = 6, **how: Any) -> list[Asked]:
    """More than fit into so many blocks at once."""
    return some(count, vocab=vocab, tokens=(24, 36), longest=40, spread=4, **how)


def settings(way: PreemptionName = "swap") -> BatchSettings:
    """Nothing is spared, so that there are too few blocks often."""
    return BatchSettings(max_batch=5, preemption=way, spare_blocks=0)


@pytest.fixture(scope="module")
def headed(tmp_path_factory: pytest.TempPathFactory) -> ModelPair:
    """A target with every kind of head."""
    target = tiny_llama(0, layers=LAYERS, hidden=HIDDEN, scale=0.5)
    return replace(pair_of(target, None), heads=heads_for(target, tmp_path_factory.mktemp("heads")))


@pytest.mark.in_turn
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", KINDS)
def test_the_words_are_the_same(name: str, way: PreemptionName) -> None:
    target = zoo_model(name)
    pair = pair_of(target, mixed(target, zoo_model(name, seed=9), 0.97), vocab=VOCAB)
    asked = crowd(VOCAB)
    batch = batch_of(pair, BLOCKS, settings(way), config=TREES)
    done = run(batch, asked)
    assert done.count(Preempted) >= 3
    assert done.count(Preempted) == done.count(Resumed)
    assert [done.ids(str(number)) for number in range(6)] == [one.alone(pair).token_ids for one in asked]
    assert batch.metrics.snapshot().preemptions == {way: done.count(Preempted)}


@pytest.mark.parametrize("way", WAYS)
def test_a_grammar_is_followed_on_from_where_it_was(way: PreemptionName) -> None:
    pair = tiny_pair(0)
    asked = [replace(one, how={"constraint": DATES}) for one in crowd(TINY_VOCAB)]
    done = run(batch_of(pair, BLOCKS, settings(way)), asked)
    assert done.count(Preempted) >= 1
    assert [done.ids(str(number)) for number in range(6)] == [one.alone(pair).token_ids for one in asked]
    for number in range(6):
        end = done.end(str(number))
        assert isinstance(end, GenerationFinished)
        assert DATED.fullmatch(end.text, partial=True)


@pytest.mark.in_turn
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["eagle", "medusa", "dflash"])
def test_with_heads_too(headed: ModelPair, kind: DrafterName, way: PreemptionName) -> None:
    """They hold states of the target's, and caches of their own."""
    asked = crowd(200, drafters=(kind, kind, "auto"))
    done = run(batch_of(headed, BLOCKS, settings(way), config=FIXED), asked)
    assert done.count(Preempted) >= 3
    assert [done.ids(str(number)) for number in range(6)] == [one.alone(headed).token_ids for one in asked]


@pytest.mark.parametrize("way", WAYS)
def test_events_go_on_where_they_were(way: PreemptionName) -> None:
    """Rounds are numbered on, nothing is told twice, and between stepping aside and coming back there is silence."""
    pair = tiny_pair(0)
    asked = crowd(TINY_VOCAB)
    done = run(batch_of(pair, BLOCKS, settings(way)), asked)
    silent = 0
    for number, one in enumerate(asked):
        told = done.told[str(number)]
        assert isinstance(told[-1], GenerationFinished)
        rounds = [event for event in told if isinstance(event, RoundFinished)]
        assert [event.index for event in rounds] == list(range(len(rounds)))
        ids = [token.token_id for event in rounds for token in event.emitted]
        assert tuple(ids) == told[-1].token_ids
        positions = [token.position for event in rounds for token in event.emitted]
        assert positions == list(range(len(one.prompt), len(one.prompt) + len(ids)))
        read = [event.processed_tokens for event in told if isinstance(event, PrefillProgress)]
        assert read == sorted(set(read))
        for at, event in enumerate(told):
            if isinstance(event, Preempted):
                silent += 1
                assert isinstance(told[at + 1], Resumed)
    assert silent >= 1


@pytest.mark.parametrize("way", WAYS)
def test_one_whose_prompt_is_half_read_steps_aside(way: PreemptionName) -> None:
    """The least work done is that of who has written nothing."""
    pair = tiny_pair(0)
    writer = Asked(tuple(range(35)), SamplingParams(temperature=1.0, seed=1), 60, "none")
    reader = Asked(tuple(range(60, 120)), SamplingParams(temperature=1.0, seed=2), 5, "none", joins=4)
    one_chunk = replace(settings(way), max_batch=2, chunk_tokens=BLOCK, step_tokens=BLOCK + 2)
    batch = batch_of(pair, 13, one_chunk, keeps=False)
    states = []

    def meanwhile(step: int, done: Run) -> None:
        states.extend(entry.read_tokens for entry in batch.scheduler.entries if entry.state == "reading" and step > 4)

    done = run(batch, [writer, reader], meanwhile)
    assert any(isinstance(event, Preempted) for event in done.told["1"])
    kinds = [type(event) for event in done.told["1"]]
    assert kinds.index(Preempted) < kinds.index(RoundFinished)
    assert states
    assert [done.ids("0"), done.ids("1")] == [writer.alone(pair).token_ids, reader.alone(pair).token_ids]
    assert batch.metrics.snapshot().recomputed_tokens == 0 if way == "swap" else True


def test_what_was_written_does_not_go_through_the_model_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Swapped, an answer comes back with the very round that was under way: no pass is made twice."""
    pair = tiny_pair(0)
    asked = crowd(TINY_VOCAB, drafters=("none",))
    done = run(batch_of(pair, BLOCKS, settings(), keeps=False), asked)
    assert done.count(Preempted) >= 1
    for number, one in enumerate(asked):
        end = done.end(str(number))
        assert isinstance(end, GenerationFinished)
        assert end.stats.target_forward_passes == one.alone(pair).stats.target_forward_passes


@pytest.mark.parametrize("keeps", [True, False])
def test_what_is_read_again_begins_with_what_is_kept(keeps: bool) -> None:
    pair = tiny_pair(0)
    asked = crowd(TINY_VOCAB)
    batch = batch_of(pair, BLOCKS, settings("recompute"), keeps=keeps)
    done = run(batch, asked)
    assert done.count(Preempted) >= 1
    assert batch.metrics.snapshot().recomputed_tokens > 0
    assert [done.ids(str(number)) for number in range(6)] == [one.alone(pair).token_ids for one in asked]


def test_what_cannot_be_copied_away_is_that_answers_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    pair, failed = tiny_pair(0), []
    asked = crowd(TINY_VOCAB)

    def failing(self: Any, array: mx.array) -> Any:
        failed.append(True)
        raise MemoryError("no memory")

    monkeypatch.setattr(swapping.Swapped, "_out", failing)
    done = run(batch_of(pair, BLOCKS, settings()), asked)
    ends = [done.end(str(number)) for number in range(6)]
    assert 1 <= sum(isinstance(end, AnswerFailed) for end in ends) == len(failed)
    for end, one in zip(ends, asked, strict=True):
        if isinstance(end, GenerationFinished):
            assert end.token_ids == one.alone(pair).token_ids


def test_drafts_that_have_no_place_are_not_tested() -> None:
    """They were launched before others took the blocks."""
    pair = tiny_pair(0, closeness=1.0)
    config = SpeculativeConfig(lookahead=7, adaptive_lookahead=False, acceptance_threshold=0.0)
    drafters: tuple[DrafterName, ...] = ("model", "model", "none", "model", "model")
    asked = [
        Asked(tuple(range(at, 4 * at + 6)), SamplingParams(temperature=0.8, seed=at), 40, drafter, joins=3 * at)
        for at, drafter in enumerate(drafters)
    ]
    done = run(batch_of(pair, 14, settings(), config=config, keeps=False), asked)
    assert [done.ids(str(number)) for number in range(5)] == [one.alone(pair).token_ids for one in asked]
    rounds = [event for told in done.told.values() for event in told if isinstance(event, RoundFinished)]
    assert any(0 < len(event.drafted) < event.lookahead for event in rounds)
    assert any(len(event.drafted) == event.lookahead == 7 for event in rounds)


@pytest.mark.parametrize("config", [FIXED, replace(TREES, adaptive_lookahead=False)], ids=["chain", "tree"])
@pytest.mark.parametrize("most", [0, 1, 2])
def test_a_draft_that_is_cut_leaves_no_trace(config: SpeculativeConfig, most: int) -> None:
    """Every second draft is cut to so many tokens, or given up."""
    pair = tiny_pair(0, closeness=0.99)
    decoder = SpeculativeDecoder(pair, config, drafter="model")
    asked = Asked((1, 2, 3), SamplingParams(temperature=0.8, seed=1), 40)
    answer = decoder.begin(decoder.request(asked.prompt, asked.params, asked.tokens))
    list(read_prompt(answer, lambda: False))
    lengths = []
    while not answer.is_finished:
        if answer.round is not None and answer.round.index % 2 == 0:
            shorten(answer.round, most)
        (told,) = step([answer])
        lengths.append(max([0, *(token.parent + 2 for token in told.drafted)]))
    assert answer.finished().token_ids == asked.alone(pair).token_ids
    assert max(lengths[2::2]) <= most < max(lengths[1::2])
