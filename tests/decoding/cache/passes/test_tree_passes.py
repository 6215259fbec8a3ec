"""One pass over a tree gives every node the logits of its own path, and the path that stays leaves no other trace."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx_lm.models.cache import ConcatenateKVCache, KVCache, QuantizedKVCache, make_prompt_cache

from mlx_spec.acceptance.tree import TokenTree, full_tree, tree_of
from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.cache.passes.compiled import compiled_passes
from mlx_spec.decoding.cache.passes.placement import Placement
from mlx_spec.decoding.cache.passes.tree_trial import trees_agree
from tests.tiny import tiny_llama
from tests.zoo import ARCHITECTURES, VOCAB, WINDOW, zoo_model

TAKES_TREES = {
    "llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3", "gpt_oss", "phi3", "mixtral", "qwen3_moe", "deepseek_v3",
}  # fmt: skip
TREE = tree_of((0, 0, 1, 1, 2, 3, 3, 6))


def placement_of(tree: TokenTree) -> Placement:
    return Placement(tree.depth_row, tree.depth_row, tree.seen)


def rows_of_paths(model: nn.Module, text: list[int], token_ids: list[int], tree: TokenTree) -> np.ndarray:
    """What the model says after each node's path, one ordinary pass over all of the text for each."""
    rows = []
    for node in range(tree.size + 1):
        path = [token_ids[ancestor - 1] for ancestor in tree.path(node)]
        rows.append(np.array(model(mx.array([text + path]), cache=make_prompt_cache(model))[0, -1]))
    return np.stack(rows)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_which_architectures_take_trees_is_found_out_by_trying(name: str) -> None:
    assert trees_agree(zoo_model(name)) == (name in TAKES_TREES)


@pytest.mark.parametrize("name", sorted(TAKES_TREES))
@pytest.mark.parametrize("length", [5, 3 * WINDOW + 1])
def test_every_node_is_scored_as_its_path_would_be(name: str, length: int) -> None:
    model, draw = zoo_model(name), random.Random(length)
    text = [draw.randrange(VOCAB) for _ in range(length)]
    cached = CachedModel(model, name, speculative=True)
    cached.prefill(text[:-1])
    assert cached.takes_trees()
    for path in ([2, 5], [1, 3, 6, 8], [], [1], [1, 4]):
        token_ids = draw.sample(range(VOCAB), TREE.size)
        scored = mx.array([text[-1], *token_ids])
        rows = np.array(cached.score(scored, kept=1, placement=placement_of(TREE)))
        np.testing.assert_allclose(rows, rows_of_paths(model, text, token_ids, TREE), rtol=2e-3, atol=2e-3)
        cached.choose([node - 1 for node in path])
        # The next round begins with a token that the target chose itself.
        text += [token_ids[node - 1] for node in path] + [draw.randrange(VOCAB)]
    expected = np.array(model(mx.array([text]), cache=make_prompt_cache(model))[0, -1])
    np.testing.assert_allclose(np.array(cached.score(mx.array(text[-1:]), kept=1))[0], expected, rtol=2e-3, atol=2e-3)


class Caches(nn.Module):
    """A model with caches of another kind than its own."""

    def __init__(self, inner: nn.Module, kind: Callable[[], Any]) -> None:
        super().__init__()
        self.inner, self._kind = inner, kind

    @property
    def layers(self) -> list[nn.Module]:
        return self.inner.layers

    def make_cache(self) -> list[object]:
        return [self._kind() for _ in self.layers]

    def __call__(self, inputs: mx.array, cache: list[object]) -> mx.array:
        return self.inner(inputs, cache)


class _Stumbles(Caches):
    """Fails over a stand-in for its cache, or always."""

    error: type[Exception] = KeyError
    always = False

    def __call__(self, inputs: mx.array, cache: list[object]) -> mx.array:
        if self.always or type(cache[0]) is not KVCache:
            raise self.error("of its own code")
        return self.inner(inputs, cache)


@pytest.mark.parametrize("error", [AttributeError, IndexError, KeyError, NotImplementedError, AssertionError])
def test_whatever_a_models_code_raises_over_a_tree_is_kept_for_the_log(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    model = _Stumbles(tiny_llama(1), KVCache)
    model.error = error
    with caplog.at_level("INFO"):
        assert not trees_agree(model)
    (told,) = caplog.records
    assert told.getMessage() == "_Stumbles takes no trees."
    assert told.exc_info is not None
    assert told.exc_info[0] is error


def test_a_model_that_fails_anyway_says_so_itself() -> None:
    model = _Stumbles(tiny_llama(1), KVCache)
    model.always = True
    with pytest.raises(KeyError, match="of its own code"):
        trees_agree(model)


def _quantised() -> QuantizedKVCache:
    return QuantizedKVCache(group_size=32, bits=8)


@pytest.mark.parametrize("kind", [KVCache, ConcatenateKVCache, _quantised])
def test_the_other_cache_kinds_hold_trees_too(kind: type) -> None:
    model = Caches(tiny_llama(1, hidden=128), kind)
    cached = CachedModel(model, "tiny", speculative=True)
    text = [1, 2, 3, 4]
    cached.prefill(text[:-1])
    token_ids = [5, 6, 7, 8, 9, 10, 11, 12]
    cached.score(mx.array([text[-1], *token_ids]), kept=1, placement=placement_of(TREE))
    cached.choose([1, 4])  # nodes 2 and 5
    after = cached.score(mx.array([13]), kept=1)
    plain = CachedModel(model, "tiny", speculative=True)
    plain.prefill([*text, 6, 9])
    assert mx.allclose(after, plain.score(mx.array([13]), kept=1), rtol=2e-2, atol=2e-2).item()


def test_a_tree_grows_by_several_passes() -> None:
    model = tiny_llama(2)
    cached = CachedModel(model, "tiny", speculative=True)
    text, tree = [1, 2, 3, 4], full_tree((2, 2))
    cached.prefill(text)
    assert cached.takes_trees(in_passes=True)
    token_ids = [5, 6, 7, 8, 9, 10]
    depths = tree.depth_row[1:] - 1  # the text ends with the root here
    first = cached.score(mx.array(token_ids[:2]), placement=Placement(depths[:2], depths[:2], tree.seen[1:3, 1:3]))
    second = cached.score(mx.array(token_ids[2:]), placement=Placement(depths[2:], depths, tree.seen[3:, 1:]))
    expected = rows_of_paths(model, text, token_ids, tree)[1:]
    np.testing.assert_allclose(np.array(mx.concatenate([first, second])), expected, rtol=1e-3, atol=1e-3)
    cached.choose([1, 4])
    after = np.array(cached.score(mx.array([11]), kept=1))[0]
    np.testing.assert_allclose(after, np.array(model(mx.array([[*text, 6, 9, 11]]))[0, -1]), rtol=1e-3, atol=1e-3)


def test_passes_over_trees_are_compiled_once_for_a_size() -> None:
    model = tiny_llama(3)
    cached = CachedModel(model, "tiny", speculative=True)
    cached.prefill([1, 2, 3])
    for _ in range(3):
        cached.score(mx.array([4, *range(TREE.size)]), kept=1, placement=placement_of(TREE))
        cached.choose([])
    passes = compiled_passes(model, make_prompt_cache(model))
    assert passes is not None
    assert not passes.falls_back(in_tree=True)


def test_sliding_windows_do_not_grow_trees() -> None:
    cached = CachedModel(zoo_model("gemma3"), "gemma3", speculative=True)
    assert cached.takes_trees()
    assert not cached.takes_trees(in_passes=True)


def test_recurrent_states_take_chains_only() -> None:
    cached = CachedModel(zoo_model("mamba2"), "mamba2", speculative=True)
    assert not cached.takes_trees()
    cached.score(mx.array([1, 2, 3]), kept=1)
    with pytest.raises(ValueError, match="cannot choose from a tree"):
        cached.choose([1])


def test_any_thread_may_try_a_model_whoever_imported_that_first() -> None:
    """MLX's arrays belong to threads: one that was made by an import took trees from every other thread."""

    def tried() -> bool:
        return trees_agree(tiny_llama(2))

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(tried).result(60)
