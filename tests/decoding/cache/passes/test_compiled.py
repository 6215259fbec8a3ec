"""Compiled passes compute what ordinary ones do, for every model that keeps plain keys and values."""

import gc
import shutil
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx_lm.models.cache import KVCache, make_prompt_cache

import mlx_spec.decoding.cache.passes.compiled as compiling
from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder, SpeculativeStats
from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.cache.passes import ragged_trial
from mlx_spec.decoding.cache.passes.compiled import CompiledPasses, compiled_passes
from mlx_spec.decoding.cache.passes.stand_ins import StandIns
from mlx_spec.lookahead.cost_controller import CostLookahead
from mlx_spec.lookahead.plan import Observation
from mlx_spec.lookahead.shapes import tree_shapes
from tests.tiny import pair_of, tiny_llama, tiny_pair
from tests.zoo import ARCHITECTURES, zoo_model

PLAIN_CACHES = [name for name in ARCHITECTURES if all(type(c) is KVCache for c in make_prompt_cache(zoo_model(name)))]

ON_GPU = mx.default_device() == mx.Device(mx.gpu)

# Looks at its cache's offset as a number.
FALLS_BACK = {"afm7"}


def test_most_architectures_with_plain_caches_are_there() -> None:
    assert {"llama", "qwen2", "qwen3", "gemma2", "phi3", "mixtral"} <= set(PLAIN_CACHES)


@pytest.mark.parametrize("name", PLAIN_CACHES)
def test_passes_of_all_widths_give_the_ordinary_logits(name: str) -> None:
    check_all_widths(name)


@pytest.mark.usefixtures("fused")
def test_they_do_in_kernels_that_are_fused_too() -> None:
    check_all_widths("llama")


def check_all_widths(name: str) -> None:
    model = zoo_model(name)
    cached = CachedModel(model, name, speculative=True)
    text: list[int] = []
    # Across the end of the first 256 places, with tokens forgotten on the way.
    for length, forgotten in [(250, 0), (1, 0), (5, 3), (1, 0), (9, 2), (2, 0), (1, 0)]:
        token_ids = [(7 * i + length) % 50 for i in range(length)]
        logits = cached.score(mx.array(token_ids))
        expected = model(mx.array([text + token_ids]))[0, -length:]
        assert mx.allclose(logits, expected, rtol=1e-3, atol=1e-3).item()
        cached.forget(forgotten)
        text += token_ids[: length - forgotten]
    passes = compiled_passes(model, make_prompt_cache(model))
    assert passes is not None
    assert (passes.falls_back()) == (name in FALLS_BACK)


def test_the_graph_is_built_once_for_a_width() -> None:
    traced = []
    model = _Watched(tiny_llama(0), lambda inputs: traced.append(inputs.shape[1]))
    decoder = SpeculativeDecoder(pair_of(model, None), drafter="none")
    list(decoder.stream([1, 2, 3], SamplingParams(seed=1), 40))
    # The prompt, the trace of a plain step with its comparison, and nothing for the other 39.
    assert traced == [2, 1, 1]


def test_a_pass_says_whether_its_graph_was_built_for_it() -> None:
    cached = CachedModel(tiny_llama(0), "tiny", speculative=True)
    cached.prefill([1] * 250)
    told = []
    for width in (1, 1, 3, 1, 3, 3, 1):  # from the fifth on the arrays are larger
        mx.eval(cached.score(mx.array([5] * width)))
        told.append(cached.built_anew)
    assert told == [True, False, True, False, True, False, True]
    mx.eval(cached.score(mx.array([5] * (compiling.WIDEST + 1))))
    assert not cached.built_anew


def test_once_warmed_up_answers_build_no_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = tiny_pair(3)
    decoder = SpeculativeDecoder(pair, SpeculativeConfig(max_lookahead=5))
    cold = SpeculativeDecoder(tiny_pair(3), SpeculativeConfig(max_lookahead=5))
    assert len(list(decoder.warm_up())) == 6 + 2
    assert decoder.stats() == SpeculativeStats()
    built: dict[SpeculativeDecoder, list[bool]] = {decoder: [], cold: []}
    learn = CostLookahead.observe
    for each in built:
        told = built[each]

        def observe(chooser: CostLookahead, round_: Observation, to: list[bool] = told) -> None:
            to.append(round_.drafted > 0 and not round_.telling)
            learn(chooser, round_)

        monkeypatch.setattr(CostLookahead, "observe", observe)
        *_, finished = each.stream([1, 2, 3], SamplingParams(temperature=1.0, seed=4), 60)
    assert not any(built[decoder])
    assert any(built[cold])
    *_, plain = decoder.stream([1, 2, 3], SamplingParams(temperature=1.0, seed=4), 60, drafter="none")
    assert finished.token_ids == plain.token_ids


def test_once_warmed_up_how_the_target_takes_the_rows_of_several_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial takes as long as a dozen passes."""
    pair = tiny_pair(3)
    decoder = SpeculativeDecoder(pair)
    list(decoder.warm_up())
    monkeypatch.setattr(ragged_trial, "_find", lambda _: pytest.fail("it is tried again"))
    assert ragged_trial.ragged_way(pair.target) == "attention"


def test_warming_up_goes_over_trees_too() -> None:
    config = SpeculativeConfig(max_lookahead=2, tree_speculation=True, max_tree_depth=2, tree_branching_factor=2)
    decoder = SpeculativeDecoder(tiny_pair(3), config)
    assert len(list(decoder.warm_up())) == 3 + len(tree_shapes(config)) + 2
    assert len(list(SpeculativeDecoder(tiny_pair(3), drafter="none").warm_up())) == 1 + 1


class _Watched(nn.Module):
    def __init__(self, inner: nn.Module, seen: Callable[[mx.array], None]) -> None:
        super().__init__()
        self.inner, self.seen = inner, seen

    @property
    def layers(self) -> list:
        return self.inner.layers

    def __call__(self, inputs: mx.array, cache: list | None = None) -> mx.array:
        self.seen(inputs)
        return self.inner(inputs, cache=cache)


class _Peeks(_Watched):
    """Looks at a value of its cache while it builds its graph, as some models do."""

    def __call__(self, inputs: mx.array, cache: list | None = None) -> mx.array:
        if int(cache[0].offset) > 10_000:
            raise AssertionError
        return self.inner(inputs, cache=cache)


class _Counts(_Watched):
    """Takes the size of the cache's arrays for the length of the text: compiled, it would say something else."""

    def __call__(self, inputs: mx.array, cache: list | None = None) -> mx.array:
        padded = cache[0].keys.shape[2] if type(cache[0]) is not KVCache else 0
        return self.inner(inputs, cache=cache) * (1.0 - 2.0 * (padded > 0))


@pytest.mark.parametrize("kind", [_Peeks, _Counts])
def test_a_model_that_cannot_be_compiled_is_run_as_it_is(kind: type[_Watched]) -> None:
    params = SamplingParams(temperature=0.8, seed=3)
    pair = tiny_pair(0)
    expected = list(SpeculativeDecoder(pair, drafter="none").stream([1, 2, 3], params, 30))[-1]
    odd = pair_of(kind(pair.target, lambda _: None), pair.draft)
    assert list(SpeculativeDecoder(odd).stream([1, 2, 3], params, 30, lookahead=4))[-1].token_ids == expected.token_ids
    passes = compiled_passes(odd.target, make_prompt_cache(odd.target))
    assert passes is not None
    assert passes.falls_back()


class _Trips(_Watched):
    """Fails over a stand-in for its cache, as a model may that was written for mlx-lm's own only."""

    error: type[Exception] = IndexError

    def __call__(self, inputs: mx.array, cache: list | None = None) -> mx.array:
        if type(cache[0]) is not KVCache:
            raise self.error("of its own code")
        return self.inner(inputs, cache=cache)


@pytest.mark.parametrize("error", [AttributeError, IndexError, KeyError, NotImplementedError, AssertionError])
def test_whatever_a_models_code_raises_over_a_stand_in_is_kept_for_the_log(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    model = _Trips(tiny_llama(0), lambda _: None)
    model.error = error
    cached = CachedModel(model, "odd", speculative=True)
    cached.prefill([1, 2, 3])
    with caplog.at_level("INFO"):
        logits = cached.score(mx.array([4]))
    assert mx.allclose(logits, model.inner(mx.array([[1, 2, 3, 4]]))[0, -1:], rtol=1e-3, atol=1e-3).item()
    (told,) = [record for record in caplog.records if record.exc_info and record.exc_info[0] is error]
    assert told.getMessage() == "Passes of _Trips are built in the ordinary way: their graph cannot be traced."


def test_a_fault_of_the_ordinary_pass_is_raised() -> None:
    def fails(inputs: mx.array) -> None:
        if inputs.shape[1] == 1:
            raise ZeroDivisionError

    cached = CachedModel(_Watched(tiny_llama(0), fails), "broken", speculative=True)
    cached.prefill([1, 2, 3])
    with pytest.raises(ZeroDivisionError):
        cached.score(mx.array([4]))


class _Fuses(_Watched):
    """Ends in operations that nobody else has in this order, so that no kernel of them has been made yet."""

    def __call__(self, inputs: mx.array, cache: list | None = None) -> mx.array:
        logits = self.inner(inputs, cache=cache)
        return mx.arctan(mx.sinh(mx.tanh(logits) * 0.37) - mx.cos(logits)) * mx.arctan(logits)


@pytest.mark.usefixtures("fused")
@pytest.mark.skipif(ON_GPU or not shutil.which("g++"), reason="breaks the compiler that MLX uses on a CPU")
def test_a_machine_whose_compiler_fails_builds_passes_in_the_ordinary_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = _Fuses(tiny_llama(0), lambda _: None)
    expected = model(mx.array([[1, 2, 3, 4]]))[0, -1:]
    cached = CachedModel(model, "fused", speculative=True)
    cached.prefill([1, 2, 3])
    mx.eval(expected)
    (tmp_path / "g++").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "g++").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with caplog.at_level("INFO"):
        logits = cached.score(mx.array([4]))
    assert mx.allclose(logits, expected, rtol=1e-3, atol=1e-3).item()
    passes = compiled_passes(model, make_prompt_cache(model))
    assert passes is not None
    assert passes.falls_back()
    assert caplog.messages == ["Passes of _Fuses are built in the ordinary way: they cannot be computed."]
    assert caplog.records[0].exc_info is not None


def test_wide_passes_are_not_compiled() -> None:
    model = tiny_llama(0)
    caches = make_prompt_cache(model)
    passes = CompiledPasses(model, (), (None,) * len(caches))
    assert passes.score(mx.array([1]), caches) is None  # nothing is allocated yet
    model(mx.array([[1, 2]]), cache=caches)
    assert passes.score(mx.zeros((compiling.WIDEST + 1,), dtype=mx.int32), caches) is None
    assert caches[0].offset == 2


def test_passes_go_with_their_model() -> None:
    gc.collect()
    before = len(compiling._OF_MODELS)
    model = tiny_llama(5)
    assert compiled_passes(model, make_prompt_cache(model)) is compiled_passes(model, make_prompt_cache(model))
    assert len(compiling._OF_MODELS) == before + 1
    del model
    gc.collect()
    assert len(compiling._OF_MODELS) == before


@pytest.mark.parametrize(("dims", "scale"), [(16, 1.0), (8, 1.0), (16, 0.25)])
def test_shared_angles_rotate_as_mlx_does(dims: int, scale: float) -> None:
    block = nn.Module()
    block.rope = nn.RoPE(dims, base=5000.0, scale=scale)
    x = mx.random.normal((1, 3, 5, 16), key=mx.random.key(1))
    expected = block.rope(x, offset=40)
    with StandIns(block).few_operations(rotations=True):
        assert (type(block.rope) is nn.RoPE) == ON_GPU  # where a rotation is one kernel
        assert mx.allclose(block.rope(x, offset=40), expected, atol=1e-5).item()
        assert mx.allclose(block.rope(x, offset=mx.array(40)), expected, atol=1e-5).item()
        assert not mx.allclose(block.rope(x, offset=41), expected, atol=1e-3).item()
        assert block.rope(x.astype(mx.bfloat16), offset=40).dtype == mx.bfloat16
    assert type(block.rope) is nn.RoPE


def test_all_layers_share_their_angles(tmp_path: Path) -> None:
    cached = CachedModel(tiny_llama(0, layers=5), "tiny", speculative=True)
    cached.prefill([1, 2, 3])
    mx.eval(cached.score(mx.array([4, 5])))  # traced, and compared
    mx.export_to_dot(str(tmp_path / "graph.dot"), cached.score(mx.array([6, 7])))
    drawn = (tmp_path / "graph.dot").read_text()
    assert drawn.count('label ="Cos"') == drawn.count('label ="Sin"') == (0 if ON_GPU else 1)
    assert ON_GPU or drawn.count('label ="Softmax"') == 5


@pytest.mark.parametrize(("length", "width"), [(251, 3), (255, 5), (20, 1), (600, 9)])
def test_a_graph_that_was_prepared_while_the_prompt_was_read_is_there(length: int, width: int) -> None:
    model = tiny_llama(0)
    first = CachedModel(model, "tiny", speculative=True)
    first.prefill([1] * 4)
    mx.eval(first.score(mx.array([5])))  # the first pass of a model is compared with an ordinary one
    cached = CachedModel(model, "tiny", speculative=True)
    read = 0
    while read < length - 1:
        chunk = min(64, length - 1 - read)
        cached.prefill([1] * chunk, lambda: cached.prepare(width, length))
        read += chunk
    mx.eval(cached.score(mx.array([5] * width)))
    assert not cached.built_anew


def test_nothing_is_prepared_where_passes_are_built_in_the_ordinary_way() -> None:
    for name in sorted(FALLS_BACK):
        model = zoo_model(name)
        cached = CachedModel(model, name, speculative=True)
        cached.prefill([1, 2, 3], lambda cached=cached: cached.prepare(3, 4))
        mx.eval(cached.score(mx.array([5])))
        cached.prepare(3, 4)
        assert mx.isfinite(cached.score(mx.array([5, 6, 7]))).all().item()
