"""Caches that have gone over to blocks: what they hold of a text, and how much memory that takes."""

import mlx.core as mx
import pytest
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec import SpeculativeDecoder
from mlx_spec.decoder import step
from mlx_spec.decoding.answer import Answer
from mlx_spec.decoding.cache import over_blocks
from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.cache.rollback import leaves
from tests.decoding.test_many_answers import Asked
from tests.decoding.test_over_blocks import FIXED, SETTINGS, cached_of, ended, finished, forced, prompt_of
from tests.tiny import pair_of, tiny_llama, tiny_pair
from tests.zoo import WINDOW, zoo_model


@pytest.mark.parametrize("name", ["llama", "gemma3", "qwen3_next", "falcon_h1"])
def test_spans_and_points_are_those_of_its_own_caches(name: str) -> None:
    """After rounds that forgot some of what they scored."""
    model, text = zoo_model(name), prompt_of(6 * WINDOW)
    every = [CachedModel(model, name, speculative=True) for _ in range(2)]
    for cached in every:
        cached.prefill(text)
    every[1].go_over_blocks(10)
    assert not every[1].pretend(30, compiled=True)
    assert every[1].begins_anywhere == every[0].begins_anywhere
    for width in (4, 1, 7):
        for cached in every:
            cached.score(mx.array([1] * width), kept=width if width == 1 else 1)
            cached.forget(0 if width == 1 else 3)
    text = [*text, *[1] * 6]
    for cached in every:
        if cached._behind is not None:  # a state reads again what stays
            cached.score(mx.array([2]), kept=1)
    rest = 1 if not every[0].begins_anywhere and name != "gemma3" else 0
    text += [2] * rest
    points = [cached.point(len(text)) for cached in every]
    spans = [(0, 8), (8, 33), (40, len(text))]
    parts = [cached.cut_up(spans) for cached in every]
    for own, other in zip(*parts, strict=True):
        for one, two in zip(own, other, strict=True):
            assert mx.allclose(one, two, atol=1e-3, rtol=1e-3)
    whole = model(mx.array([[*text, 3]]), cache=make_prompt_cache(model))[0, -1]
    for point in points:
        again = CachedModel(model, name, speculative=True)
        again.prefill(text)
        begun = CachedModel(model, name, speculative=True)
        begun.begin_with(again.cut_up([(0, len(text))]), point)
        assert mx.allclose(begun.score(mx.array([3]))[0], whole, atol=5e-3, rtol=5e-3)


def test_an_answer_grows_beyond_what_it_was_made_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = tiny_pair(0)
    prompt = prompt_of(50)
    own = ended(SpeculativeDecoder(pair, FIXED), prompt, SETTINGS["sampled"], 200).token_ids
    monkeypatch.setattr(over_blocks, "_MOST_ROOM", 1)
    monkeypatch.setattr(over_blocks, "_WIDEST_PASS", 1)
    forced(pair.target)
    assert ended(SpeculativeDecoder(pair, FIXED), prompt, SETTINGS["sampled"], 200).token_ids == own
    answer = Asked(prompt, 0.8, "model", 200).begun(pair)
    keys = cached_of(answer).caches[0].layer.keys
    assert keys.shape[0] == 1
    finished(answer)
    assert cached_of(answer).caches[0].layer.keys.shape[0] == 4
    assert Asked([5], 0.8, "model", 3).begun(pair).target.is_over_blocks, "of which nothing was read"


def test_a_step_copies_neither_pool_nor_context() -> None:
    target = forced(tiny_llama(5, hidden=256))
    pair = pair_of(target, None)
    context = 1500
    answer = Asked(prompt_of(context, 200), 0.8, "none", 500).begun(pair)
    drafting = Asked([1, 2, 3, 4] * (context // 4), 0.8, "ngram", 500).begun(pair)
    steps([answer, drafting], 2)
    keys = cached_of(answer).caches[0].layer.keys
    layer, held = keys.nbytes, keys.nbytes * context // (keys.shape[0] * keys.shape[2])
    del keys
    for answers in ([answer], [drafting], [answer, drafting]):
        before = mx.get_active_memory()
        mx.reset_peak_memory()
        steps(answers, 6)
        # The scores and mixed values of a few rows take more than those of one.
        assert mx.get_peak_memory() - before < (held / 2 if answers == [answer] else layer)
        assert mx.get_active_memory() - before < layer / 8
    taken = [mx.array(cache.layer.keys) for cache in cached_of(answer).caches]
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    steps([answer], 1)
    assert mx.get_peak_memory() - before > len(taken) * layer, "it is seen where somebody else holds the arrays"


def steps(answers: list[Answer], count: int) -> None:
    for _ in range(count):
        step(answers)


def test_going_over_holds_two_copies_of_one_layer_at_most() -> None:
    target = forced(tiny_llama(5, hidden=256, layers=8))
    cached = CachedModel(target, "tiny", speculative=True)
    cached.prefill([1] * 1500)
    layer = 2 * cached.caches[0].keys.nbytes
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    cached.go_over_blocks(20)
    assert mx.get_peak_memory() - before < 2.5 * layer
    assert mx.get_active_memory() - before < layer, "the old ones are gone"
    mx.reset_peak_memory()
    parts = cached.cut_up([(0, 64), (64, 1472)])
    assert mx.get_peak_memory() - before < 4 * layer
    assert mx.get_active_memory() - before < layer
    assert len(parts[0]) == 2 * len(list(leaves(cached.caches)))
