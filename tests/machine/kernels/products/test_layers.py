"""A model's layers: in strict passes every product is the kernel's, in others those that were measured to be faster."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear

from mlx_spec.machine.kernels.products.few_rows import MOST_ROWS
from mlx_spec.machine.kernels.products.layers import FewRowsLinear, adopt, adopted, shape_of, strictly, weights_of
from mlx_spec.machine.kernels.products.times import MatmulTimes
from tests.machine.kernels.emulator.launches import Emulator, compile_ahead, emulated
from tests.machine.kernels.products.test_times import table

INPUTS, OUTPUTS = 64, 40
LAYERS: dict[str, Callable[[], Any]] = {
    "quantised": lambda: nn.QuantizedLinear(INPUTS, OUTPUTS, bits=6, group_size=32),
    "mxfp8, no bias": lambda: nn.QuantizedLinear(INPUTS, OUTPUTS, bias=False, mode="mxfp8"),
    "dense": lambda: nn.Linear(INPUTS, OUTPUTS),
    "quantised head": lambda: nn.QuantizedEmbedding(OUTPUTS, INPUTS, bits=3),
    "head": lambda: nn.Embedding(OUTPUTS, INPUTS),
    "quantised experts": lambda: QuantizedSwitchLinear(INPUTS, OUTPUTS, 3, bits=5),
    "nvfp4 experts": lambda: QuantizedSwitchLinear(INPUTS, OUTPUTS, 3, bias=False, mode="nvfp4", group_size=16),
    "experts": lambda: SwitchLinear(INPUTS, OUTPUTS, 3),
}
GIVEN = mx.array([[[0, 2], [1, 1], [2, 0], [0, 1], [2, 1]]])


def called(layer: Any, x: mx.array) -> mx.array:
    """What a model does with a layer, for rows `[1, n, inputs]`."""
    if isinstance(layer, nn.Embedding | nn.QuantizedEmbedding):
        return layer.as_linear(x)
    if isinstance(layer, SwitchLinear | QuantizedSwitchLinear):
        return layer(x[:, :, None, None], GIVEN[:, : x.shape[1]])
    return layer(x)


def rows(count: int) -> mx.array:
    return mx.random.normal((1, count, INPUTS), key=mx.random.key(1))


@pytest.fixture(scope="module", autouse=True)
def _compiled_ahead(tmp_path_factory: pytest.TempPathFactory) -> None:
    def every() -> None:
        for made in LAYERS.values():
            model = nn.Sequential(made())
            adopt(model, MatmulTimes(tmp_path_factory.mktemp("times") / "none.json"))
            with strictly(model, 5):
                called(model.layers[0], rows(5))
                called(model.layers[0], rows(1))

    compile_ahead(every)


@pytest.mark.parametrize("name", LAYERS)
def test_in_strict_passes_all_products_are_the_kernels(emulator: Emulator, tmp_path: Path, name: str) -> None:
    model = nn.Sequential(made := LAYERS[name]())
    expected = called(made, rows(5))
    was = type(made)
    with emulated(emulator):
        assert adopt(model, MatmulTimes(tmp_path / "none.json")) == 1
        assert adopted(model)
        assert isinstance(made, was)
        assert mx.array_equal(called(made, rows(5)), expected), "nothing was measured, so it is MLX's"
        assert emulator.launched == []
        with strictly(model, 5):
            found = called(made, rows(5))
            alone = [called(made, rows(5)[:, row : row + 1]) for row in range(5)] if "experts" not in name else []
        assert len(emulator.launched) == 1 + len(alone)
        assert not model.layers[0].products.strict
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert mx.allclose(found, expected, atol=1e-4)
    assert not alone or mx.array_equal(mx.concatenate(alone, axis=1), found)


def test_chunks_of_prompts_are_mlxs_and_so_is_what_is_no_layer_of_these(emulator: Emulator, tmp_path: Path) -> None:
    class Other(nn.Linear):
        """Computes something of its own."""

    model = nn.Sequential(nn.Linear(INPUTS, INPUTS), Other(INPUTS, INPUTS))
    with emulated(emulator):
        assert adopt(model, MatmulTimes(tmp_path / "none.json")) == 1
        assert type(model.layers[1]) is Other
        for count in (MOST_ROWS + 1, None):
            with strictly(model, count):
                model(rows(3))
        assert emulator.launched == []
        with strictly(nn.Linear(3, 3), 4):
            model(rows(3))
        assert emulator.launched == [], "another model's passes"


def test_sorted_experts_and_experts_of_other_shapes(emulator: Emulator, tmp_path: Path) -> None:
    """Above 64 pairs mlx-lm sorts them by expert; and what is given no expert a row is MLX's."""
    layer = SwitchLinear(INPUTS, OUTPUTS, 3)
    x, indices = mx.random.normal((5, 1, INPUTS)), mx.array([0, 0, 1, 2, 2])
    expected, pairs = layer(x, indices, sorted_indices=True), layer(x[:, None], indices[None, :, None])
    model = nn.Sequential(layer)
    with emulated(emulator):
        adopt(model, MatmulTimes(tmp_path / "none.json"))
        with strictly(model, 5):
            assert mx.allclose(layer(x, indices, sorted_indices=True), expected, atol=1e-4)
            assert emulator.launched == ["few_rows_matmul"]
            assert layer(x[:, None], indices[None, :, None]).shape == pairs.shape
            assert emulator.launched == ["few_rows_matmul"], "the rows of these are not those of their experts"


def test_experts_with_a_scale_each_are_mlxs(emulator: Emulator, tmp_path: Path) -> None:
    layer = QuantizedSwitchLinear(INPUTS, OUTPUTS, 3, bias=False, mode="nvfp4", group_size=16)
    layer.global_scale = mx.ones((3,))
    heard: list[Any] = []
    model = nn.Sequential(layer)
    with emulated(emulator), pytest.MonkeyPatch.context() as patch:
        patch.setattr(QuantizedSwitchLinear, "__call__", lambda *given: heard.append(given))
        adopt(model, MatmulTimes(tmp_path / "none.json"))
        with strictly(model, 5):
            called(layer, rows(5))
    assert len(heard) == 1
    assert emulator.launched == []


def test_in_other_passes_a_product_is_the_kernels_where_that_is_faster(emulator: Emulator, tmp_path: Path) -> None:
    linear = nn.Linear(INPUTS, OUTPUTS)
    linear.set_dtype(mx.float16)
    layer = nn.QuantizedLinear.from_linear(linear, group_size=64, bits=4)
    x, wider = rows(5).astype(mx.float16), rows(6).astype(mx.float16)
    expected, expected_wider = layer(x), layer(wider)
    model = nn.Sequential(layer)
    with emulated(emulator):
        shape = shape_of(weights_of(layer), 5, mx.float16)
        assert adopt(model, table(tmp_path, 100.0, 50.0, shape)) == 1
        assert isinstance(layer, FewRowsLinear)
        got = model(x)
        assert emulator.launched == ["few_rows_matmul"]
        assert mx.array_equal(model(wider), expected_wider)
        assert emulator.launched == ["few_rows_matmul"]
        assert adopt(model, MatmulTimes(tmp_path / "none.json")) == 1, "what is known may change"
        assert mx.array_equal(model(x), expected)
    assert mx.allclose(got, expected, atol=2e-2).item()
