"""Every cache kind against its definition: whatever is scored and forgotten, what follows is as if only what stayed
had ever been there.
"""

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx_lm.models import cache as cache_kinds
from mlx_lm.models.cache import (
    ArraysCache,
    BatchKVCache,
    BatchRotatingKVCache,
    CacheList,
    KVCache,
    RotatingKVCache,
    _BaseCache,
)

from mlx_spec.decoding.cache.cached_model import MAX_BEHIND, CachedModel
from mlx_spec.decoding.cache.kinds.append_only import AppendOnly, Concatenated
from mlx_spec.decoding.cache.kinds.chunked import Chunked
from mlx_spec.decoding.cache.kinds.recurrent import Recurrent
from mlx_spec.decoding.cache.kinds.ring import KeptMask, Ring
from mlx_spec.decoding.cache.passes.paged import BlockCache
from mlx_spec.decoding.cache.rollback import POLICIES, check_rollback
from mlx_spec.errors import UnsupportedModelError
from tests.toy_layers import FULL, KINDS, LENGTH, SIZE, TOKENS, WIDTH, Layer


def session(layer: Layer, seed: int, rounds: int = 30, prompt: int = 5) -> float:
    """Random passes, promises and rollbacks; the largest difference from the definition."""
    chance = random.Random(seed)
    model = CachedModel(layer, "toy", speculative=True)
    text = [chance.randrange(TOKENS) for _ in range(prompt)]
    model.prefill(text)
    worst = 0.0
    for _ in range(rounds):
        forgettable = 0
        for _ in range(chance.randrange(1, 6)):
            scored = [chance.randrange(TOKENS) for _ in range(chance.choice([1, 1, 1, 1, 1, 2, 3, SIZE + 2]))]
            kept = chance.choice([0, 0, 0, 1, len(scored)])
            forgettable = len(scored) - kept + (0 if kept else forgettable)
            text += scored
            rows = np.array(model.score(mx.array(scored), kept=kept))
            expected = layer.defined(text)[-len(scored) :]
            assert rows.shape == expected.shape
            worst = max(worst, np.abs(rows - expected).max())
        forgotten = chance.choice([0, forgettable, chance.randint(0, forgettable)])
        model.forget(forgotten)
        text = text[: len(text) - forgotten]
        if len(text) > LENGTH - 5 * (SIZE + 2):
            break
    assert len(text) > 4 * SIZE, "every window must have wrapped"
    return worst


@pytest.mark.in_turn
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", KINDS)
def test_what_follows_a_rollback_is_as_if_only_the_kept_had_been_there(kind: str, seed: int) -> None:
    assert session(KINDS[kind](), seed) < 1e-4


@pytest.mark.parametrize("kind", ["rotating", "list"])
def test_a_window_filled_token_by_token_rolls_back_over_many_passes(kind: str) -> None:
    layer = KINDS[kind]()
    model = CachedModel(layer, "toy", speculative=True)
    text = list(range(30))
    for token_id in text:
        model.score(mx.array([token_id]), kept=1)
    drafts = [40, 41, 42, 43, 44]
    for token_id in drafts:
        model.score(mx.array([token_id]))
    model.forget(3)
    text += [40, 41, 7]
    rows = np.array(model.score(mx.array([7])))
    assert np.abs(rows - layer.defined(text)[-1:]).max() < 1e-5


def _mlx_lms_trim(policy: Any, *arguments: Any) -> None:
    policy._cache.trim(arguments[-1])


def _nothing(policy: Any, *arguments: Any) -> None:
    pass


def _only_counters(policy: Any, mark: Any, count: int) -> None:
    policy._cache.offset, policy._cache._idx = mark.offset, mark.index


def _the_same_objects(policy: Any, count: int) -> SimpleNamespace:
    cache = policy._cache
    return SimpleNamespace(offset=cache.offset, index=cache._idx, keys=cache.keys, values=cache.values)


def _the_same_list(policy: Any, count: int) -> dict[str, Any]:
    return dict(vars(policy._cache))


def _mlx_lms_mask(mask: Any, count: int, **options: Any) -> Any:
    return mask._own_mask(count, **options)


FAULTS: dict[str, tuple[str, type, str, Callable[..., Any]]] = {
    "ring-trimmed": ("rotating", Ring, "drop", _mlx_lms_trim),
    "ring-overwritten": ("rotating", Ring, "take_back", _only_counters),
    "ring-overwritten-beside-a-state": ("list-recurrent", Ring, "take_back", _only_counters),
    "ring-handle-changes": ("rotating", Ring, "mark", _the_same_objects),
    "ring-hides-what-it-keeps": ("rotating-keep", KeptMask, "__call__", _mlx_lms_mask),
    "concatenated-trimmed": ("concatenate", Concatenated, "drop", _mlx_lms_trim),
    "kv-not-trimmed": ("kv", AppendOnly, "drop", _nothing),
    "quantised-not-trimmed": ("quantised-32-4", AppendOnly, "drop", _nothing),
    "chunk-front-lost": ("chunked", Chunked, "take_back", _mlx_lms_trim),
    "chunk-not-trimmed": ("chunked", Chunked, "drop", _nothing),
    "state-not-restored": ("arrays", Recurrent, "take_back", _nothing),
    "state-handle-changes": ("arrays", Recurrent, "mark", _the_same_list),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_any_policy_is_noticed(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    kind, policy, method, planted = FAULTS[fault]
    monkeypatch.setattr(policy, method, planted)
    assert any(_differs(KINDS[kind](), seed) for seed in range(4))


def _differs(layer: Layer, seed: int) -> bool:
    try:
        return session(layer, seed) > 0.01
    except ValueError as error:  # where arrays no longer fit each other
        return "shape" in str(error) or "dimensions" in str(error)


def test_prompt_tokens_and_promised_ones_cannot_be_forgotten() -> None:
    for kind in ("kv", "rotating", "arrays"):
        model = CachedModel(KINDS[kind](), "toy", speculative=True)
        model.prefill([1, 2, 3])
        with pytest.raises(ValueError, match="cannot forget 1 tokens: 0 were scored"):
            model.forget(1)
        model.score(mx.array([4, 5, 6]), kept=1)
        with pytest.raises(ValueError, match="cannot forget 3 tokens: 2 were scored"):
            model.forget(3)
        model.forget(2)
        with pytest.raises(ValueError, match="cannot forget 1 tokens"):
            model.forget(1)
    plain = CachedModel(KINDS["kv"](), "toy", speculative=False)
    plain.score(mx.array([1]))
    plain.forget(0)
    with pytest.raises(ValueError, match="plain decoding"):
        plain.forget(1)


class _Counted(Layer):
    """Remembers the width of each forward pass."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer._parts, layer.make_cache)
        self.widths: list[int] = []

    def __call__(self, inputs: mx.array, cache: list[Any]) -> mx.array:
        self.widths.append(inputs.shape[1])
        return super().__call__(inputs, cache)


def test_what_is_behind_rides_along_and_never_grows_without_bound() -> None:
    counted = _Counted(KINDS["arrays"]())
    model = CachedModel(counted, "toy", speculative=True)
    model.prefill([1])
    gamma, rounds = 3, 60
    for _ in range(rounds):
        assert model.score(mx.array([2, 3, 4, 5]), kept=1).shape == (gamma + 1, WIDTH)
        model.forget(2)
    passes = len(counted.widths) - 1
    assert max(counted.widths) <= MAX_BEHIND + gamma + 1
    # Two tokens stay of each round: five rounds fill what may be behind, then they are fed by themselves.
    assert rounds < passes <= rounds + rounds // 4
    model.score(mx.array([2]), kept=1)
    model.forget(0)
    counted.widths.clear()
    for _ in range(10):
        model.score(mx.array([2, 3, 4, 5]), kept=1)
        model.forget(0)
    assert counted.widths == [4] * 10, "after a full acceptance nothing is behind"


def test_a_model_that_only_appends_is_never_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(AppendOnly, "mark", never)
    assert session(KINDS["kv"](), 0) < 1e-4


def test_promised_tokens_are_never_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round without drafts, and the prompt, cost nothing; a round of the target's keeps no second ring."""

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Ring, "mark", never)
    monkeypatch.setattr(Recurrent, "mark", never)
    for kind in ("rotating", "arrays"):
        model = CachedModel(KINDS[kind](), "toy", speculative=True)
        model.prefill(list(range(20)))
        model.score(mx.array([1]), kept=1)
        model.forget(0)
    ring = CachedModel(KINDS["rotating"](), "toy", speculative=True)
    ring.score(mx.array([1, 2, 3]), kept=1)
    ring.forget(2)
    plain = CachedModel(KINDS["list-recurrent"](), "toy", speculative=False)
    plain.score(mx.array([1, 2]))


def test_an_unknown_kind_is_refused_by_name() -> None:
    class MyCache(KVCache):
        """Might overwrite what its parent appends."""

    check_rollback([None, _BaseCache(), KVCache(), CacheList(ArraysCache(1), RotatingKVCache(4))], "it")
    with pytest.raises(UnsupportedModelError, match="tiny uses a MyCache, which this version cannot roll back"):
        check_rollback([KVCache(), MyCache()], "tiny")
    with pytest.raises(UnsupportedModelError, match="MyCache"):
        check_rollback([CacheList(KVCache(), CacheList(MyCache()))], "tiny")
    with pytest.raises(UnsupportedModelError, match="BatchKVCache"):
        check_rollback([BatchKVCache([0])], "tiny")
    layer = Layer([FULL], lambda: [MyCache()])
    with pytest.raises(UnsupportedModelError, match="MyCache"):
        CachedModel(layer, "tiny", speculative=True)
    assert CachedModel(layer, "tiny", speculative=False).score(mx.array([1])).shape == (1, WIDTH)


def test_every_kind_that_mlx_lm_has_is_known() -> None:
    """Its batched ones aside, which its own server makes of several users' caches, and no model."""
    own = {kind for kind in vars(cache_kinds).values() if isinstance(kind, type) and issubclass(kind, _BaseCache)}
    known = {*POLICIES, CacheList, _BaseCache, BatchKVCache, BatchRotatingKVCache}
    assert own == known - {BlockCache}  # which is ours


def test_placeholders_hold_nothing_and_are_passed_over() -> None:
    model = CachedModel(_AfterPlaceholder(), "toy", speculative=True)
    model.prefill([1, 2])
    model.score(mx.array([3, 4, 5]), kept=1)
    model.forget(2)
    rows = np.array(model.score(mx.array([6])))
    assert np.abs(rows - FULL.defined([1, 2, 3, 6])[-1:]).max() < 1e-5


class _AfterPlaceholder(nn.Module):
    """A model whose first two layers keep nothing."""

    def make_cache(self) -> list[Any]:
        return [None, _BaseCache(), KVCache()]

    def __call__(self, inputs: mx.array, cache: list[Any]) -> mx.array:
        return FULL.cached(inputs[0], cache[2])[None]
