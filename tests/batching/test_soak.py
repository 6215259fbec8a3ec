"""Sixty requests over a pool for five, a third of which are given up by those who asked."""

import random
from collections.abc import Sequence
from dataclasses import replace

import mlx.core as mx
import pytest

from mlx_spec.batching import Batch, BatchSettings
from mlx_spec.batching.settings import PREEMPTIONS, PreemptionName
from mlx_spec.events import GenerationFinished, Preempted
from mlx_spec.models.loading import ModelPair
from tests.batching.asked import Asked, Run, batch_of, run, some
from tests.tiny import TINY_VOCAB, tiny_pair

pytestmark = pytest.mark.usefixtures("small_chunks")

ROUNDS, COUNT = 3, 20
BLOCKS = 25
SETTINGS = BatchSettings(max_batch=8, spare_blocks=0, policy="shortest")


@pytest.mark.parametrize("way", PREEMPTIONS)
def test_nothing_is_lost_and_nothing_grows(way: PreemptionName) -> None:
    """`run` checks after each step that every block is held by somebody who is there."""
    pair, memory, preempted = tiny_pair(0), [], 0
    batch = batch_of(pair, BLOCKS, replace(SETTINGS, preemption=way))
    prefixes = batch._decoder.prefixes
    assert prefixes is not None
    for number in range(ROUNDS):
        asked = some(COUNT, vocab=TINY_VOCAB, tokens=(4, 30), seed=number, spread=50)
        done = left_early(batch, asked, number)
        preempted += done.count(Preempted)
        check_words(pair, asked, done)
        assert batch.is_idle
        assert not batch._seats
        assert batch.leases == []
        prefixes.drop()
        assert batch._pool.usage().used == 0
        mx.clear_cache()
        memory.append(mx.get_active_memory())
    assert preempted > 3
    assert ROUNDS * COUNT // 6 < batch.metrics.snapshot().requests["cancelled"] <= ROUNDS * (COUNT // 3 + 1)
    assert memory[-1] <= memory[0] + 4_096, memory


def left_early(batch: Batch, asked: Sequence[Asked], seed: int) -> Run:
    """Every third is cancelled, some twice, some when it is over."""
    chance = random.Random(seed)
    leaving = {number: asked[number].joins + chance.randint(0, 25) for number in range(0, COUNT, 3)}

    def meanwhile(step: int, done: Run) -> None:
        for number, at in leaving.items():
            if at in (step, step - 3):
                batch.cancel(str(number))

    return run(batch, asked, meanwhile)


def check_words(pair: ModelPair, asked: Sequence[Asked], done: Run) -> None:
    """Who was not cancelled has all of its words, who was has some."""
    for number, one in enumerate(asked):
        end, alone = done.end(str(number)), one.alone(pair).token_ids
        assert isinstance(end, GenerationFinished)
        assert end.token_ids == (alone[: len(end.token_ids)] if end.finish_reason == "cancelled" else alone)
