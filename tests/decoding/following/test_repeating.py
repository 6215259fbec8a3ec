"""What is done to the leader's caches is done to a follower's: after every step they hold the same, bit for bit."""

import random
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest

from mlx_spec.acceptance.tree import tree_of
from mlx_spec.decoding.cache.cached_model import CachedModel, cached_model
from mlx_spec.decoding.cache.passes.apart import Apart
from mlx_spec.decoding.cache.passes.placement import Placement
from mlx_spec.decoding.cache.passes.ragged_trial import ragged_way
from mlx_spec.decoding.cache.swapping import Swapped
from mlx_spec.decoding.cache.together import Part, score_together
from mlx_spec.decoding.following.hearing import OutOfStepError
from mlx_spec.decoding.following.leading import ToldModel
from mlx_spec.errors import LookaheadError
from tests.decoding.following.twins import Twins
from tests.tiny import tiny_llama
from tests.zoo import VOCAB, WINDOW, zoo_model

KINDS = ("llama", "gemma3", "qwen3_next", "llama4", "afm7", "deepseek_v32")
"""Keys and values, windows, states beside keys, chunks, concatenated ones, and several kinds in a layer."""
TREE = tree_of((0, 0, 1, 1, 2))
PLACEMENT = Placement(TREE.depth_row, TREE.depth_row, TREE.seen)
BLOCK = 4


def begun(twins: Twins, prompt: list[int], **how: Any) -> ToldModel:
    model = cached_model(twins.target, "zoo", speculative=True, **how)
    assert isinstance(model, ToldModel)
    model.prefill(prompt[:-1] or prompt)
    model.score(mx.array(prompt[-1:]), kept=1)  # the first of a model, which is made alone
    return model


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_cache_is_followed(name: str) -> None:
    """Answers of all lengths, that draft as they like, take trees where they can, and lose some tokens; one is away for
    a while, one ends."""
    twins, draw = Twins(lambda: zoo_model(name)), random.Random(5)
    all_kinds_of_steps(twins, draw)


def test_half_precision_is_followed_in_the_same_way() -> None:
    """There a compiled pass has other bits than an ordinary one, alone and shared."""

    def half() -> nn.Module:
        model = zoo_model("llama")
        model.set_dtype(mx.bfloat16)
        return model

    all_kinds_of_steps(Twins(half), random.Random(5))


def all_kinds_of_steps(twins: Twins, draw: random.Random) -> None:
    models = [begun(twins, draw.choices(range(VOCAB), k=length)) for length in (3, 3 * WINDOW + 1, WINDOW, 1)]
    takes_trees = models[0].takes_trees()
    for turn in range(6):
        here = [model for at, model in enumerate(models) if (turn + at) % 4 or turn == 2]
        trees = [takes_trees and draw.random() < 0.4 for _ in here]
        counts = [TREE.size + 1 if tree else draw.choice([1, 1, 2, 4]) for tree in trees]
        parts = [
            Part(model, mx.array(draw.choices(range(VOCAB), k=count)), 1, PLACEMENT if tree else None)
            for model, count, tree in zip(here, counts, trees, strict=True)
        ]
        score_together(parts)
        for model, count, tree in zip(here, counts, trees, strict=True):
            if tree:
                model.choose([node - 1 for node in draw.choice([[], [2, 5], [1, 3], [1]])])
            else:
                model.forget(draw.randint(0, count - 1))
        twins.check()
        if turn == 3:
            away = Swapped([models[1]], room_bytes=1 << 30)
            twins.check()
            away.back()
        if turn == 4:
            del here, parts, model, models[2]
    twins.check()
    assert len(twins.follower.models) == 3


def test_what_was_read_is_known_by_number() -> None:
    """Stretches and points of a text are cut out, begun with, and end with the leader's."""
    twins = Twins(lambda: zoo_model("qwen3_next"))
    reader = begun(twins, list(range(2 * BLOCK + 1)))
    reader.forget(0)
    fresh = cached_model(twins.target, "zoo", speculative=True)
    fresh.prefill(list(range(2 * BLOCK)))
    point = fresh.point(2 * BLOCK)
    parts = fresh.cut_up([(0, BLOCK), (BLOCK, 2 * BLOCK)], goes_on=True)
    again = cached_model(twins.target, "zoo", speculative=True)
    again.begin_with(parts, point)
    again.score(mx.array([7, 8, 9]), kept=1)
    again.forget(1)
    twins.check()
    assert len(twins.follower.stretches) == 2
    assert len(twins.follower.snapshots) == 1
    del parts, point
    twins.check()
    assert not twins.follower.stretches
    assert not twins.follower.snapshots


def test_keys_and_values_in_fewer_bits_are_followed() -> None:
    twins = Twins(lambda: zoo_model("llama", wide=True))
    for kv_bits in (8, 4):
        model = begun(twins, [1, 2, 3, 4, 5], kv_bits=kv_bits)
        model.score(mx.array([3, 4, 5, 6]), kept=1)
        model.forget(2)
        twins.check()


def test_a_message_a_pass() -> None:
    """What was done since the last pass goes with the next."""
    twins = Twins(lambda: tiny_llama(0))
    models = [begun(twins, [1, 2, 3, 4]) for _ in range(3)]
    for _ in range(2):  # what is tried once
        score_together([Part(model, mx.array([5, 6]), 1) for model in models])
        for model in models:
            model.forget(1)
    before = twins.messages
    for _ in range(4):
        score_together([Part(model, mx.array([5, 6]), 1) for model in models])
        for model in models:
            model.forget(1)
    assert twins.messages - before == 4
    twins.check()
    assert {one["depth"] for one in twins.told("together")} == {"attention"}
    assert any(one["compiled"] for one in twins.told("forward"))
    assert len(twins.told("prepare")) == 0
    models[0].prepare(3, 9)
    twins.check()
    assert len(twins.told("prepare")) == 1


def test_a_pretended_text_is_pretended_there() -> None:
    twins = Twins(lambda: tiny_llama(0))
    begun(twins, [1, 2, 3])
    for compiled in (True, False):
        model = cached_model(twins.target, "tiny", speculative=True)
        assert model.pretend(60, compiled=compiled)
        model.score(mx.array([1, 1]))
        twins.check()


def test_a_draft_of_the_same_process_is_its_own() -> None:
    twins = Twins(lambda: tiny_llama(0))
    assert type(cached_model(tiny_llama(1), "a draft", speculative=True)) is CachedModel
    twins.check()
    assert twins.told("make") == []


def test_a_pass_that_fails_here_alone_is_the_last() -> None:
    """Then the others have made it, and wait for this one."""
    twins = Twins(lambda: tiny_llama(0))
    model = begun(twins, [1, 2, 3])
    model.forget(0)

    def failing(*_: Any, **__: Any) -> Any:
        raise ValueError("of its own code")

    model._compiled = None
    model._ordinary = failing  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="of its own code"):
        model.score(mx.array([1]), kept=1)
    with pytest.raises(LookaheadError, match="out of step"):
        cached_model(twins.target, "tiny", speculative=True).prefill([1, 2])


class Choosy(nn.Module):
    """A model that takes the rows of many answers in one pass, unless it `refuses`. Counts such `passes`."""

    def __init__(self, inner: nn.Module, *, refuses: bool) -> None:
        super().__init__()
        self.inner, self._refuses, self.passes = inner, refuses, 0

    @property
    def layers(self) -> list[nn.Module]:
        layers: list[nn.Module] = self.inner.layers
        return layers

    def __call__(self, inputs: mx.array, cache: list[Any]) -> mx.array:
        if isinstance(cache[0], Apart):
            self.passes += 1
            if self._refuses:
                raise TypeError("of its own code")
        result: mx.array = self.inner(inputs, cache)
        return result


def test_what_the_leader_cannot_build_is_given_up_by_all() -> None:
    """Though the others could: the trial is over for them too, in the midst of it, and goes on with the next way."""
    refuses = iter([True, False])
    twins = Twins(lambda: Choosy(tiny_llama(1), refuses=next(refuses)))
    models = [begun(twins, [1, 2, 3, at]) for at in range(3)]
    for _ in range(2):
        score_together([Part(model, mx.array([5, 6, 7]), 1) for model in models])
        for model in models:
            model.forget(1)
        twins.check()
    assert ragged_way(twins.target) is None
    assert ragged_way(twins.follower.target) is None
    assert [one["agrees"] for one in twins.told("judged")] == [True, False, False, False, False]
    assert twins.told("together") == []
    assert twins.target.passes == twins.follower.target.passes, "a pass that is made by one alone is waited for"


def test_a_follower_of_another_kind_says_so() -> None:
    """A trial that goes well with the leader's share cannot be made with the follower's."""
    twins = Twins(lambda: tiny_llama(0))
    twins._line.append('{"do": [{"op": "trial", "name": "ragged"}, {"op": "leave_alone"}]}')
    with pytest.raises(OutOfStepError, match="The leader said 'leave_alone'"):
        twins.catch_up()


def test_an_object_may_end_in_the_midst_of_a_trial() -> None:
    """Whenever Python looks for garbage."""
    twins = Twins(lambda: tiny_llama(0))
    gone = cached_model(twins.target, "tiny", speculative=True)
    number = gone.number.value  # type: ignore[attr-defined]
    go = twins._teller.go

    def collecting(arrays: list[mx.array]) -> None:
        nonlocal gone
        gone = None  # type: ignore[assignment]
        go(arrays)

    twins._teller.go = collecting  # type: ignore[method-assign]
    ragged_way(twins.target)
    twins.check()
    assert number not in twins.follower.models
    assert ragged_way(twins.follower.target) == "attention"


def test_a_leader_that_ends_in_the_midst_of_something_ends_its_follower() -> None:
    twins = Twins(lambda: tiny_llama(0))
    twins._line.append('{"do": [{"op": "trial", "name": "ragged"}, {"op": "go"}]}')
    twins.catch_up()
    assert not twins.follower.go_on()
