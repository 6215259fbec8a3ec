"""Experts in half precision on a CPU, where MLX's own product takes float32 alone."""

import mlx.core as mx
import pytest
from mlx.utils import tree_map
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.models.switch_layers import SwitchLinear

from mlx_spec.machine.kernels.products.half_experts import HalfExperts, mend_experts
from tests.zoo import zoo_model

HALVES = pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float16], ids=str)


def half(model: mx.array, dtype: mx.Dtype) -> mx.array:
    model.update(tree_map(lambda array: array.astype(dtype), model.parameters()))
    mend_experts(model)
    return model


@HALVES
def test_each_row_is_its_experts_product_and_has_the_bits_that_it_has_alone(dtype: mx.Dtype) -> None:
    layer = SwitchLinear(24, 10, 5)
    layer.bias = mx.random.normal((5, 10))
    layer.set_dtype(dtype)
    x = mx.random.normal((1, 40, 1, 1, 24)).astype(dtype)
    experts = mx.random.randint(0, 5, (1, 40, 2))
    layer.__class__ = HalfExperts
    found = layer(x, experts)
    assert (found.shape, found.dtype) == ((1, 40, 2, 1, 10), dtype)
    expected = mx.einsum("nd,nkod->nko", x[0, :, 0, 0].astype(mx.float32), layer.weight[experts[0]].astype(mx.float32))
    expected += layer.bias[experts[0]].astype(mx.float32)
    assert mx.allclose(found[0, :, :, 0].astype(mx.float32), expected, rtol=2e-2, atol=2e-2)
    for row in (0, 17, 39):
        alone = layer(x[:, row : row + 1], experts[:, row : row + 1])
        assert mx.array_equal(alone[0, 0], found[0, row]), "a row sees its neighbours"


def test_experts_and_rows_are_repeated_as_with_mlx() -> None:
    layer = SwitchLinear(24, 10, 5)
    for rows, experts in (((3, 1), (3, 2)), ((3, 2), (1, 2)), ((3, 2), (2,)), ((1, 1), (3, 2))):
        x, indices = mx.random.normal((*rows, 1, 24)), mx.random.randint(0, 5, experts)
        expected = SwitchLinear.__call__(layer, x, indices)
        found = HalfExperts.__call__(layer, x, indices)
        assert found.shape == expected.shape
        assert mx.allclose(found, expected, rtol=1e-4, atol=1e-5)


@HALVES
@pytest.mark.parametrize("family", ["qwen3_moe", "deepseek_v41"])
def test_a_mixture_of_experts_answers(family: str, dtype: mx.Dtype) -> None:
    tokens = mx.array([[3, 1, 4, 1, 5, 9, 2, 6]])
    whole = zoo_model(family)
    expected = whole(tokens, cache=make_prompt_cache(whole))[0]
    model = half(zoo_model(family), dtype)
    found = model(tokens, cache=make_prompt_cache(model))[0].astype(mx.float32)
    assert any(isinstance(module, HalfExperts) for module in model.modules())
    spread = mx.max(mx.abs(expected))
    assert mx.max(mx.abs(found - expected)) < 0.1 * spread


def test_what_mlx_multiplies_itself_is_left_alone() -> None:
    model = zoo_model("qwen3_moe")
    mend_experts(model)
    assert not any(isinstance(module, HalfExperts) for module in model.modules())
