"""A whole batch is answered with a target that others share: the words are those of one machine, and at every step the
follower's caches hold what the leader's do."""

from dataclasses import replace
from typing import Any

import mlx.core as mx
import pytest

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.batching import BatchSettings
from mlx_spec.batching.settings import PreemptionName
from mlx_spec.config import Keeping
from mlx_spec.decoding.cache.blocks.keeping import prefixes_of
from mlx_spec.decoding.cache.chunks import PREFILL_TOKENS
from mlx_spec.decoding.constraints.wanted import Constraint
from mlx_spec.decoding.drafters import eagle
from mlx_spec.errors import ConfigError, UnsupportedModelError
from mlx_spec.events import GenerationFinished, Preempted
from mlx_spec.models.loading import ModelPair
from tests.batching.asked import BLOCK, Asked, Run, batch_of, run, some
from tests.decoding.following.twins import Twins
from tests.tiny import TINY_VOCAB, pair_of, tiny_llama
from tests.zoo import VOCAB, mixed, zoo_model

TREES = SpeculativeConfig(tree_speculation=True, acceptance_threshold=0.0)
BLOCKS = 10
CANCELLED = 1


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PREFILL_TOKENS, mx.default_device().type, BLOCK)
    monkeypatch.setattr(eagle, "PART_TOKENS", BLOCK)


def crowd(vocab: int, **how: Any) -> list[Asked]:
    """Some that begin alike, one that is cancelled, and one to a prompt that was answered before."""
    asked = some(6, vocab=vocab, longest=44, tokens=(20, 32), spread=4, **how)
    longest = max(asked, key=lambda one: len(one.prompt))
    return [*asked, replace(longest, params=replace(longest.params, seed=77), joins=60)]


def answered(
    twins: Twins, pair: ModelPair, asked: list[Asked], way: PreemptionName = "swap", blocks: int = BLOCKS
) -> Run:
    settings = BatchSettings(max_batch=4, spare_blocks=0, preemption=way)
    batch = batch_of(pair, blocks, settings, config=TREES)

    def meanwhile(step: int, done: Run) -> None:
        twins.check()
        if step == 7:
            batch.cancel(str(CANCELLED))

    done = run(batch, asked, meanwhile)
    twins.check()
    assert not twins.follower.models
    return done


def same_words(done: Run, asked: list[Asked], alone: ModelPair) -> None:
    others = [number for number in range(len(asked)) if number != CANCELLED]
    assert [done.ids(str(number)) for number in others] == [
        asked[number].alone(alone, TREES).token_ids for number in others
    ]


@pytest.mark.parametrize(("name", "way"), [("llama", "swap"), ("qwen3_next", "recompute")])
def test_the_words_are_those_of_one_machine(name: str, way: PreemptionName) -> None:
    twins = Twins(lambda: zoo_model(name))
    draft = mixed(zoo_model(name), zoo_model(name, seed=9), 0.97)
    asked = crowd(VOCAB) if name == "llama" else crowd(VOCAB)[:5]
    done = answered(twins, pair_of(twins.target, draft, vocab=VOCAB), asked, way, BLOCKS)
    same_words(done, asked, pair_of(zoo_model(name), None, vocab=VOCAB))
    assert done.count(Preempted) >= 1
    for op in ("together", "forward", "forget", "cut_up", "drop"):
        assert twins.told(op), op
    assert bool(twins.told("swap")) == (way == "swap")
    assert bool(twins.told("begin_with")) == (name == "llama")  # whose prompts begin alike, but not at a point
    assert bool(twins.told("choose")) == (name == "llama")
    assert bool(twins.told("point")) == (name == "qwen3_next")


def test_with_a_grammar() -> None:
    """It masks the target's rows, on the leader alone."""
    twins, dates = Twins(lambda: tiny_llama(0)), Constraint.regex("(on 20[0-9]{2}-[0-9]{2}; ){1,9}")
    asked = [replace(one, how={"constraint": dates}) for one in crowd(TINY_VOCAB)[:3]]
    done = answered(twins, pair_of(twins.target, tiny_llama(0)), asked)
    same_words(done, asked, pair_of(tiny_llama(0), None))


def test_what_is_measured_is_measured_by_all() -> None:
    """Calibrating, warming up and reading ahead make passes of the target too."""
    twins = Twins(lambda: tiny_llama(0))
    pair = pair_of(twins.target, tiny_llama(0))
    decoder = SpeculativeDecoder(pair, TREES, prefixes=prefixes_of(pair, Keeping()))
    decoder.calibrate()
    for steps in (decoder.warm_up(), decoder.measure_wide()):
        for _ in steps:
            twins.check()
    *_, end = decoder.stream(list(range(40)), SamplingParams(seed=1), 12)
    for _ in decoder.settle():
        twins.check()
    assert isinstance(end, GenerationFinished)
    assert {one["compiled"] for one in twins.told("make_up")} == {True, False}
    twins.check()


def test_what_is_not_for_several_machines_says_so() -> None:
    twins = Twins(lambda: tiny_llama(0))
    pair = replace(pair_of(twins.target, None), ranks=2)
    with pytest.raises(ConfigError, match="share the target"):
        SpeculativeDecoder(pair, drafter="self")
    with pytest.raises(UnsupportedModelError, match="several machines share it"):
        SpeculativeDecoder(replace(pair, ranks=1), drafter="self")
    assert "self" not in pair.drafters
    content = replace(pair, content="abc", ranks=2)
    kept = prefixes_of(content, Keeping())
    assert kept is not None
    assert kept.slow is None
