"""Gates of rounds on a CPU: MLX's own, to the last bit."""

import platform
import sys
import threading
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.activations import swiglu as mlxs
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec.decoding.cache.passes import ways
from mlx_spec.decoding.cache.passes.compiled import CompiledPasses
from mlx_spec.decoding.cache.passes.forward import run
from mlx_spec.machine.kernels import round_gates
from mlx_spec.machine.kernels.prompt_attention import Loop
from mlx_spec.machine.kernels.round_gates import LEAST_ROWS, serves, swiglu, takes
from tests.machine.kernels.every_exponential import differing, magnitudes
from tests.unfused import fusing, untraced
from tests.zoo import zoo_model

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="MLX is quick with exponentials here"
)
FAR = [0.0, -0.0, 87.9, 88.0, 88.1, 88.4, 100.0, 128.0, 1e4, 1e30, 3e38, mx.inf, 1e-30, 1e-45]


def _drawn(rows: int, width: int = 384, scale: float = 8.0) -> tuple[mx.array, mx.array]:
    gate, x = (mx.random.normal((1, rows, width), key=mx.random.key(seed)) for seed in range(2))
    return scale * gate, x


def _same_bits(one: mx.array, other: mx.array) -> bool:
    return bool(mx.array_equal(one.view(mx.int32), other.view(mx.int32)).item())


def test_exponentials_have_mlxs_bits() -> None:
    """One in a thousand of them; all were tried by `every_exponential`."""
    assert sum(differing(x) for x in magnitudes(1009)) == 0


@pytest.mark.parametrize("scale", [0.01, 1.0, 8.0, 60.0])
@pytest.mark.parametrize("rows", [1, 2, 7, 33])
def test_gates_have_mlxs_bits(rows: int, scale: float) -> None:
    gate, x = _drawn(rows, scale=scale)
    assert _same_bits(swiglu(gate, x), mlxs(gate, x))


def test_so_they_have_far_out_and_what_is_no_number_stays_none() -> None:
    gate = mx.array([*FAR, *(-number for number in FAR)])
    assert _same_bits(swiglu(gate, mx.ones(gate.shape)), mlxs(gate, mx.ones(gate.shape)))
    assert mx.isnan(swiglu(mx.array([mx.nan]), mx.ones((1,)))).item()


def test_the_loops_have_the_same_bits_however_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, x = _drawn(9)
    for how in (fusing(True), fusing(False), untraced()):
        with how:
            monkeypatch.setattr(round_gates, "_PARTS", Loop(round_gates._parts))  # made anew
            monkeypatch.setattr(round_gates, "_GATED", Loop(round_gates._gated))
            found = swiglu(gate, x)
            mx.eval(found)
        assert _same_bits(found, mlxs(gate, x))


def test_they_are_for_several_rows_of_float32() -> None:
    assert takes(*_drawn(LEAST_ROWS))
    assert not takes(*_drawn(LEAST_ROWS - 1))
    assert not takes(*(array.astype(mx.bfloat16) for array in _drawn(LEAST_ROWS)))


def test_where_mlx_has_other_bits_mlx_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """As another version of it may."""
    assert serves()
    monkeypatch.setattr(round_gates, "mlxs", lambda gate, x: mlxs(gate, x) * (1 + 2**-23))
    monkeypatch.setattr(round_gates._FOUND, "agrees", None)
    assert not serves()


def test_they_are_tried_before_a_pass_is_traced() -> None:
    """Tried inside it, by a thread that has not done so yet, they would seem to have other bits."""
    found: list[tuple[bool, int]] = []

    def trace() -> None:
        passes = CompiledPasses(model, (), (None,) * len(caches))
        assert passes.prepare(2, caches, 3) or passes.score(mx.array([1, 2]), caches)
        found.append((serves(), sum(differing(x) for x in magnitudes(100_003))))

    model: Any = zoo_model("llama")
    caches = make_prompt_cache(model)
    mx.eval(model(mx.array([[1, 2, 3]]), cache=caches), [cache.state for cache in caches])
    thread = threading.Thread(target=trace)
    thread.start()
    thread.join()
    assert found == [(True, 0)]


@pytest.mark.parametrize("rows", [1, 2, 5, 16])
def test_a_pass_has_the_bits_that_it_has_without_them(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = zoo_model("llama")
    found, gated = [], []

    def counted(gate: mx.array, x: mx.array) -> mx.array:
        gated.append(gate.shape)
        return swiglu(gate, x)

    monkeypatch.setattr(round_gates, "swiglu", counted)
    for on in (True, False):
        monkeypatch.setattr(ways.round_gates, "serves", lambda on=on: on)
        cache = make_prompt_cache(model)
        logits = run(model, mx.array(list(range(1, rows + 1))), cache, None).logits
        mx.eval(logits)
        found.append(logits)
    assert _same_bits(*found)
    assert bool(gated) is (rows >= LEAST_ROWS), "the first of them went this way"
