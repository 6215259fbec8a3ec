"""How passes over prompts go a way of their own on a CPU: what the model says is the same, but for rounding."""

from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models import activations
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec.decoding.cache.agreement import rows_agree
from mlx_spec.decoding.cache.passes.forward import run
from mlx_spec.machine.kernels import prompt_attention, prompt_gates
from tests.zoo import ARCHITECTURES, zoo_model

pytestmark = pytest.mark.skipif(not prompt_attention.serves(), reason="prompts go MLX's own way here")
TEXT = [(7 * at + at // 3) % 50 for at in range(80)]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each gate of ours was asked for."""
    rows: list[int] = []

    def swiglu(gate: mx.array, x: mx.array) -> mx.array:
        rows.append(gate.size // gate.shape[-1])
        return own(gate, x)

    own = prompt_gates.swiglu
    monkeypatch.setattr(prompt_gates, "swiglu", swiglu)
    return rows


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_says_the_same(name: str) -> None:
    model = zoo_model(name)
    found, expected = (
        run(model, mx.array(TEXT), make_prompt_cache(model), None, attends=attends).logits
        for attends in ("of_prompts", "plainly")
    )
    assert rows_agree([found], [expected])


@pytest.mark.parametrize(("name", "gates"), [("llama", 2), ("qwen3", 2), ("qwen3_moe", 2)])
def test_gates_are_ours_in_prompts_alone(name: str, gates: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, model = counted(monkeypatch), zoo_model(name)
    caches: list[Any] = make_prompt_cache(model)
    mx.eval(run(model, mx.array(TEXT), caches, None, attends="of_prompts").logits)
    assert len(rows) == gates
    assert all(count >= len(TEXT) for count in rows)  # of experts a row has several
    mx.eval(run(model, mx.array(TEXT[:4]), caches, None).logits)
    assert len(rows) == gates
    for module in model.modules():
        names = getattr(vars(type(module)).get("__call__"), "__globals__", {})
        assert names.get("swiglu", activations.swiglu) is activations.swiglu
