"""Passes whose attention goes row by row: they say what MLX's own says, and each row has the bits of a plain step."""

from collections.abc import Sequence
from typing import Any, Final

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx_lm.models import llama
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.acceptance.tree import tree_of
from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.cache.passes.by_row import serves
from mlx_spec.decoding.cache.passes.compiled import compiled_passes
from mlx_spec.decoding.cache.passes.forward import run
from mlx_spec.decoding.cache.passes.placement import Placement
from mlx_spec.decoding.cache.passes.slots import held
from mlx_spec.decoding.cache.rows import known, products
from mlx_spec.decoding.cache.rows.known import MOST, measure_widths
from mlx_spec.decoding.cache.rows.widths import RowWidths
from mlx_spec.decoding.cache.together import Part, score_together
from mlx_spec.events import GenerationFinished, RoundFinished
from mlx_spec.machine.kernels import dispatch
from tests.machine.kernels.conftest import emulator  # noqa: F401
from tests.machine.kernels.emulator.launches import Emulator, emulated
from tests.tiny import pair_of, tiny_llama
from tests.zoo import ARCHITECTURES, WINDOW, zoo_model

NOT_SERVED: Final = {
    "gemma2": "it attends in a way of its own, with capped scores",
    **dict.fromkeys(["deepseek_v3", "deepseek_v32", "longcat_flash"], "its masks are scores that are added"),
    "deepseek_v41": "it attends in a way of its own",
    "mamba": "no attention",
    "mamba2": "no attention",
}
TREE: Final = tree_of((0, 0, 1, 1, 2))
PLACEMENT: Final = Placement(TREE.depth_row, TREE.depth_row, TREE.seen)


@pytest.fixture
def sees_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLX's attention as on a GPU: from the third row on every row has other bits."""
    attend = mx.fast.scaled_dot_product_attention

    def other(queries: mx.array, *args: Any, **kwargs: Any) -> mx.array:
        found = attend(queries, *args, **kwargs)
        return found + 0.01 * mx.roll(found, 1, axis=-1) if queries.shape[2] > 2 else found

    monkeypatch.setattr(mx.fast, "scaled_dot_product_attention", other)


def half(seed: int) -> nn.Module:
    """In half precision, where products are MLX's own loops, a row each."""
    model = tiny_llama(seed)
    model.set_dtype(mx.bfloat16)
    return model


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_which_models_it_serves_is_found_out_by_trying(name: str) -> None:
    assert serves(zoo_model(name)) == (name not in NOT_SERVED)


def test_a_model_that_attends_to_something_else_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    attend = llama.scaled_dot_product_attention

    def turned(queries: mx.array, keys: mx.array, *args: Any, **kwargs: Any) -> mx.array:
        found: mx.array = attend(queries, keys[..., ::-1], *args, **kwargs)
        return found

    monkeypatch.setattr(llama, "scaled_dot_product_attention", turned)
    assert not serves(tiny_llama(1))


@pytest.mark.usefixtures("sees_rows")
@pytest.mark.parametrize("prompt", [[3, 1, 4, 1, 5], [2] * 300], ids=len)
def test_rows_of_chains_trees_and_crowds_are_plain_steps(
    emulator: Emulator,  # noqa: F811
    prompt: list[int],
) -> None:
    model = half(2)

    def begun(*, by_row: bool) -> CachedModel:
        cached = CachedModel(model, "tiny", speculative=True, by_row=by_row)
        cached.prefill(prompt)
        return cached

    def rows(cached: CachedModel, ids: Sequence[int], **how: Any) -> mx.array:
        found = cached.score(mx.array(ids, dtype=mx.int32), **how)
        mx.eval(found)
        return found

    ids = [7, 6, 5, 9, 9, 2]
    with emulated(emulator):
        alone = mx.concatenate([rows(one, [at]) for one in [begun(by_row=True)] for at in ids])
        chain = rows(begun(by_row=True), ids)
        plainly = rows(begun(by_row=False), ids)
        tree = rows(begun(by_row=True), ids, placement=PLACEMENT)
        path = mx.concatenate([rows(one, [ids[at]]) for one in [begun(by_row=True)] for at in (0, *TREE.path(5))])
        parts = [Part(begun(by_row=True), mx.array(ids[:n], dtype=mx.int32)) for n in (2, 6)]
        crowd = score_together(parts)
        mx.eval(crowd)
    assert mx.array_equal(chain, alone)
    assert not mx.array_equal(plainly, alone), "or the comparison shows nothing"
    assert mx.array_equal(tree[-1], path[-1])
    for found, n in zip(crowd, (2, 6), strict=True):
        assert mx.array_equal(found, alone[:n])
    assert set(emulator.launched) == {"paged_partials", "paged_finish"}


@pytest.mark.usefixtures("sees_rows")
@pytest.mark.parametrize("name", ["gemma3", "gpt_oss", "llama4", "qwen3_next"])
def test_windows_chunks_sinks_and_what_stands_beside_attention(name: str) -> None:
    """By the fallback, as many tokens on as a window needs to be left behind twice."""
    model = zoo_model(name)
    ids = [1 + at % 4 for at in range(2 * WINDOW + 7)]

    def read(widths: Sequence[int], *, by_row: bool) -> mx.array:
        caches, found, at = make_prompt_cache(model), [], 0
        for width in widths:
            found.append(
                run(
                    model, mx.array(ids[at : at + width]), caches, None, attends="by_row" if by_row else "plainly"
                ).logits
            )
            mx.eval(found)
            at += width
        return mx.concatenate(found)

    fours = [4] * (len(ids) // 4) + [1] * (len(ids) % 4)
    one_by_one, wide = (read(widths, by_row=True) for widths in ([1] * len(ids), fours))
    error, difference = (mx.max(mx.abs(wide - other)).item() for other in (one_by_one, read(fours, by_row=False)))
    assert error < 1e-3 * difference, "but for the rounding of products"


@pytest.mark.usefixtures("sees_rows")
def test_strict_passes_go_by_row_where_a_kernel_runs(
    emulator: Emulator,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(products, "_CONTEXTS", ((20, 64), (300, 320)))
    monkeypatch.setitem(MOST, mx.cpu, 4)
    found = measure_widths(half(3), "tiny")
    assert (found.width, found.by_row) == (2, False), "no kernel runs here"
    with emulated(emulator):
        found = measure_widths(half(3), "tiny")
        assert (found.width, found.by_row, found.trees) == (4, True, True)
        assert [one.part for one in found.parts if "attention" in one.part] == [
            "attention by row of 4 heads over 2, each 8, 20 tokens",
            "attention by row of 4 heads over 2, each 8, 300 tokens",
        ]
        assert not measure_widths(half(3), "tiny", kv_bits=8).by_row, "it reads keys as they are"


def test_on_a_gpu_mlxs_own_attention_leaves_strict_passes_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was tried: behind a longer text it has other kernels."""
    monkeypatch.setattr(known, "_on_metal", lambda: True)
    monkeypatch.setattr(products, "_CONTEXTS", ((20, 64),))
    found = measure_widths(half(3), "tiny")
    assert (found.width, found.trees, found.by_row) == (1, False, False)
    assert found.limit == f"Limited to 1 row by {known.MLXS_ATTENTION}."
    states = zoo_model("mamba2")
    states.set_dtype(mx.bfloat16)
    assert known.MLXS_ATTENTION not in [one.part for one in measure_widths(states, "tiny").parts]


@pytest.mark.usefixtures("sees_rows")
def test_strict_words_are_plain_decodings(
    emulator: Emulator,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To the last bit of each probability, whatever is drafted."""
    widths = RowWidths(8, tried=16, by_row=True)
    for name in ("known_widths", "row_widths"):
        monkeypatch.setattr(f"mlx_spec.decoding.knowledge.{name}", lambda *_: widths)
    pair = pair_of(half(5), half(5))

    def told(drafter: Any) -> list[tuple[int, float | None]]:
        config = SpeculativeConfig(exactness="strict", acceptance_threshold=0.0, adaptive_lookahead=False)
        decoder = SpeculativeDecoder(pair, config, drafter="model")
        *events, end = decoder.stream([5, 3, 1, 4], SamplingParams(temperature=0.8, seed=2), 10, drafter=drafter)
        assert isinstance(end, GenerationFinished)
        assert end.stats.exactness == "strict"
        rounds = [event for event in events if isinstance(event, RoundFinished)]
        assert drafter == "none" or max(len(one.emitted) for one in rounds) > 3
        return [(token.token_id, token.p) for one in rounds for token in one.emitted]

    with emulated(emulator):
        assert told("model") == told("none")
    assert "paged_partials" in emulator.launched


@pytest.mark.parametrize("in_tree", [False, True], ids=["chain", "tree"])
def test_a_compiled_graph_takes_the_kernel(in_tree: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a Mac would trace it: two launches a layer, and no value is looked at meanwhile."""
    model = tiny_llama(4)
    caches = make_prompt_cache(model)
    run(model, mx.array([1, 2, 3]), caches, None)
    passes = compiled_passes(model, caches, by_row=True)
    assert passes is not None
    arrays = [array for cache in caches for array in held(cache)]
    placed = [PLACEMENT.depths, PLACEMENT.key_depths, PLACEMENT.seen] if in_tree else []
    names: list[str] = []

    def keep(node: dict[str, Any]) -> None:
        names.extend(node["name"] for _ in range(node["type"] == "primitive"))

    monkeypatch.setattr(dispatch, "choice", lambda: dispatch.Choice(True, "traced, and never run."))
    traced = passes._traced_tree if in_tree else passes._traced
    given = [mx.array([7, 6, 5, 9, 9, 2]), mx.array(3, dtype=mx.int32), *placed, *arrays]
    mx.export_function(keep, lambda *inputs: traced(*inputs), *given)
    assert names.count("CustomKernel") == 2 * len(caches)
    assert "ScaledDotProductAttention" not in names
