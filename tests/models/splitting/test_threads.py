"""Ranks of many families, as threads, say what the whole model says."""

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx.utils import tree_map_with_path

from mlx_spec.machine.blas import is_preloaded
from mlx_spec.models.splitting.split import Exactness, Split, Way
from tests.models.splitting.families import small_model
from tests.models.splitting.in_threads import logits_of, on_all_ranks

_ON_CPU = mx.default_device() == mx.Device(mx.cpu)
_PASSES = ([5, 9, 77, 3, 12, 44, 101, 7, 7, 9, 30], [7], [8], [1, 2, 3, 4])


def made(family: str) -> nn.Module:
    """A small model of a family with weights that decide something."""
    mx.random.seed(1)
    model = small_model(family)
    model.update(tree_map_with_path(_drawn, model.parameters()))
    model.eval()
    mx.eval(model.parameters())
    return model


def _drawn(path: str, value: mx.array) -> mx.array:
    if value.ndim < 2 or not mx.issubdtype(value.dtype, mx.floating):
        return value
    return mx.random.normal(value.shape) * (2.0 if "layers" in path else 1.0) * value.shape[-1] ** -0.5


@pytest.mark.parametrize(
    ("family", "way", "exactness"),
    [
        ("deepseek_v3", "tensor", "strict"),  # heads in two products of their own, and shared experts
        ("gpt_oss", "tensor", "strict"),  # sinks, and a bias that its family divides
        ("qwen3_5", "tensor", "strict"),  # recurrent layers, and a head that its family divides
        ("minimax", "tensor", "strict"),  # norms over all heads together
        ("minimax", "tensor", "fast"),
        ("gemma2", "pipeline", "strict"),
        ("gpt2", "pipeline", "strict"),  # positions are added to the embedding
        ("gpt_oss", "pipeline", "strict"),  # masks of two kinds
        ("mamba2", "pipeline", "strict"),
        ("qwen3_next", "pipeline", "strict"),  # mlx-lm's own, of layers of two kinds
        ("qwen3_5", "pipeline", "strict"),  # whose model is inside another one
    ],
)
def test_the_ranks_say_what_the_model_says(family: str, way: Way, exactness: Exactness) -> None:
    expected = logits_of(made(family), _PASSES)
    found = on_all_ranks(lambda: made(family), Split(way, 2, exactness), _PASSES)
    for rows, wanted in zip(found, expected, strict=True):
        assert mx.max(mx.abs(wanted)).item() > 0.5
        # To OpenBLAS, and to a GPU, a product of other widths is another sum: a pipeline has none.
        if way == "pipeline" or (exactness == "strict" and not is_preloaded() and _ON_CPU):
            assert mx.array_equal(rows, wanted).item()
        else:
            assert mx.allclose(rows, wanted, rtol=1e-3, atol=1e-3).item()
