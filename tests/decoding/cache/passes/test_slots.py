"""Compiled passes over keys and values in fewer bits, chains and trees, compute what ordinary ones do."""

import mlx.core as mx
import pytest
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec.acceptance.tree import tree_of
from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.cache.passes.compiled import compiled_passes
from mlx_spec.decoding.cache.passes.placement import Placement
from mlx_spec.decoding.cache.passes.slots import held
from tests.tiny import tiny_llama


@pytest.mark.parametrize("kv_bits", [4, 8])
def test_passes_over_keys_and_values_in_fewer_bits_are_compiled_too(kv_bits: int) -> None:
    model = tiny_llama(0, layers=3, hidden=128)
    compiled = CachedModel(model, "tiny", speculative=True, kv_bits=kv_bits)
    ordinary = CachedModel(model, "tiny", speculative=True, kv_bits=kv_bits)
    ordinary._compiled = None
    passes = compiled_passes(model, compiled._caches)
    assert passes is not None
    assert passes is not compiled_passes(model, make_prompt_cache(model))
    for length, forgotten in [(250, 0), (1, 0), (5, 3), (1, 0), (9, 2), (2, 0), (1, 0)]:
        token_ids = mx.array([(7 * i + length) % 50 for i in range(length)])
        assert mx.array_equal(compiled.score(token_ids), ordinary.score(token_ids)).item()
        for cached in (compiled, ordinary):
            cached.forget(forgotten)
    assert not passes.falls_back()


@pytest.mark.parametrize("kv_bits", [4, 8])
def test_trees_over_them_are_compiled_too(kv_bits: int) -> None:
    model = tiny_llama(1, hidden=128)
    compiled = CachedModel(model, "tiny", speculative=True, kv_bits=kv_bits)
    ordinary = CachedModel(model, "tiny", speculative=True, kv_bits=kv_bits)
    ordinary._compiled = None
    tree = tree_of((0, 0, 1, 1, 2))
    placement = Placement(tree.depth_row, tree.depth_row, tree.seen)
    for cached in (compiled, ordinary):
        cached.prefill(list(range(250)))
    for _ in range(3):  # the arrays grow on the way
        rows = [c.score(mx.array([5, 6, 7, 8, 9, 10]), kept=1, placement=placement) for c in (compiled, ordinary)]
        assert mx.array_equal(*rows).item()
        for cached in (compiled, ordinary):
            cached.choose([1, 4])  # the second child, and its own
    passes = compiled_passes(model, compiled._caches)
    assert passes is not None
    assert not passes.falls_back(in_tree=True)


def test_made_up_keys_and_values_fill_either_kind() -> None:
    model = tiny_llama(0, hidden=128)
    for kv_bits in (None, 8):
        cached = CachedModel(model, "tiny", speculative=True, kv_bits=kv_bits)
        assert cached.pretend(700, compiled=True)
        assert [cache.offset for cache in cached._caches] == [700, 700]
        assert {array.shape[2] for cache in cached._caches for array in held(cache)} == {768}
        assert mx.all(mx.isfinite(cached.score(mx.array([1, 2])))).item()
