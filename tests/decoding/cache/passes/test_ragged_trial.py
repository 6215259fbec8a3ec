"""How deep a pass over the rows of many answers is divided with each architecture is found out by trying."""

import gc
import weakref
from contextlib import suppress
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest

from mlx_spec.decoding.cache.passes import ragged_trial
from mlx_spec.decoding.cache.passes.apart import ApartCache, Rows
from mlx_spec.decoding.cache.passes.dividing import Divisions
from mlx_spec.decoding.cache.passes.ragged import ragged_passes
from mlx_spec.decoding.cache.passes.ragged_trial import ragged_way
from mlx_spec.decoding.cache.passes.shared_slots import SharedLayer
from mlx_spec.decoding.drafters.self_draft import without_layers
from tests.tiny import tiny_llama
from tests.zoo import ARCHITECTURES, zoo_model

WAYS: dict[str, str | None] = dict.fromkeys(ARCHITECTURES, "attention") | {
    # Attention of their own making (soft caps, latent keys), and parts of a recurrent block that keep states.
    **dict.fromkeys(["gemma2", "deepseek_v3", "longcat_flash", "afm7", "recurrent_gemma"], "mixer"),
    # An indexer inside its attention is given a cache of its own.
    "deepseek_v32": "layer",
    # These count positions, or make masks, before their first layer.
    **dict.fromkeys(["ministral3", "llama4", "deepseek_v41"], "body"),
}


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_which_way_is_found_out_by_trying(name: str) -> None:
    assert ragged_way(zoo_model(name)) == WAYS[name]


class _Wrapper(nn.Module):
    """A model whose code does something with its cache first."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    @property
    def layers(self) -> list[nn.Module]:
        return self.inner.layers

    def __call__(self, inputs: mx.array, cache: list[Any]) -> mx.array:
        return self.inner(inputs, cache)


class _Stumbles(_Wrapper):
    def __call__(self, inputs: mx.array, cache: list[Any]) -> mx.array:
        if isinstance(cache[0], ApartCache):
            raise KeyError("of its own code")
        return self.inner(inputs, cache)


class _LooksAtMasks(_Wrapper):
    """As a model whose attention is its own, and takes masks of one answer."""

    def __call__(self, inputs: mx.array, cache: list[Any]) -> mx.array:
        if isinstance(cache[0], ApartCache) and isinstance(cache[0].parts[0], SharedLayer):
            raise ValueError("a mask of four dimensions")
        return self.inner(inputs, cache)


class _CountsItself(_Wrapper):
    """Adds to its logits what it makes of its own position: right for one sequence only."""

    def __call__(self, inputs: mx.array, cache: list[Any]) -> mx.array:
        start = mx.array(cache[0].offset).reshape(-1)[0]
        logits = self.inner(inputs, cache)
        at = start + mx.arange(inputs.shape[1])
        return logits + mx.sin(at)[None, :, None] * mx.cos(mx.arange(logits.shape[-1]))


def test_what_a_models_code_raises_is_kept_for_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        assert ragged_way(_Stumbles(tiny_llama(1))) is None
    assert [record.getMessage() for record in caplog.records] == [
        f"_Stumbles takes no rows of many answers divided by {way}." for way in ("attention", "mixer", "layer", "body")
    ]


def test_a_model_that_says_something_else_is_noticed() -> None:
    assert ragged_way(_CountsItself(tiny_llama(1))) is None
    assert ragged_way(_Wrapper(tiny_llama(1))) == "attention"


def test_a_way_that_mixes_answers_up_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: keys of the wrong answer."""
    fetch = ApartCache.update_and_fetch

    def turned(self: ApartCache, keys: mx.array, values: mx.array) -> Any:
        fetched = fetch(self, keys, values)
        fetched[1].parts = (*fetched[1].parts[1:], fetched[1].parts[0])
        return fetched

    monkeypatch.setattr(ApartCache, "update_and_fetch", turned)
    monkeypatch.setattr(ragged_trial, "_WAYS", ("attention",))
    assert ragged_way(tiny_llama(1)) is None


def test_whether_answers_may_keep_their_keys_in_the_same_arrays_is_tried_too() -> None:
    model, other = tiny_llama(1), _LooksAtMasks(tiny_llama(1))
    assert ragged_way(model) == ragged_way(other) == "attention"
    assert ragged_passes(model).shares
    assert not ragged_passes(other).shares


def test_it_is_tried_once_for_a_model_and_forgotten_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_llama(1)
    assert ragged_way(model) == "attention"
    monkeypatch.setattr(ragged_trial, "_find", lambda _: pytest.fail("it was tried again"))
    assert ragged_way(model) == "attention"


def test_a_pass_that_fails_leaves_the_model_as_it_was() -> None:
    model = zoo_model("falcon_h1")
    before = {id(module) for module in model.modules()}
    with suppress(KeyError), Divisions(model).divided("attention", Rows([1, 2])):
        assert {id(module) for module in model.modules()} != before
        raise KeyError
    assert {id(module) for module in model.modules()} == before


def test_a_copy_of_a_model_has_passes_of_its_own() -> None:
    """As a target's that drafts for itself with some of its layers."""
    model = tiny_llama(1, layers=8)
    assert ragged_passes(model) is ragged_passes(model)
    half = without_layers(model, (0, 1, 6, 7))
    assert ragged_passes(half).model is half
    assert ragged_passes(model).model is model


def test_a_model_that_nobody_holds_is_let_go_with_its_passes() -> None:
    model = tiny_llama(1)
    assert ragged_way(model) == "attention"
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
