"""The fastest that plain decoding could be on this machine."""

from pathlib import Path

import mlx.nn as nn
import pytest

from mlx_spec.decoding.measuring.ceiling import Ceiling, measure_bandwidth, measured_ceiling, step_bytes
from mlx_spec.models.memory import weights_bytes
from tests.tiny import tiny_llama


def test_bandwidth_is_that_of_real_reads() -> None:
    """Between a hundredth of a slow machine's and a hundred times a fast one's: a buffer that is not read, or a time
    that is not waited for, is outside."""
    assert 1e8 < measure_bandwidth(2, 32 * 2**20) < 1e13


def test_the_best_of_all_readings_counts_and_is_kept_for_this_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever disturbs a reading makes it slower, never faster."""
    monkeypatch.setenv("LOOKAHEAD_HOME", str(tmp_path))
    model, told = tiny_llama(1), []

    def bandwidth(measured: float, plain_step_ms: float | None = None) -> float | None:
        monkeypatch.setattr(
            "mlx_spec.decoding.measuring.ceiling.measure_bandwidth", lambda readings: told.append(readings) or measured
        )
        return measured_ceiling(model, lambda *_: None, plain_step_ms).bandwidth_bytes_per_s

    assert bandwidth(50e9) == 50e9
    assert bandwidth(10e9) == 50e9, "a busy machine: the earlier start knew better"
    assert bandwidth(80e9) == 80e9
    assert told[0] > told[1], "a later start reads less often"
    faster = step_bytes(model) * 1e3 / 200e9
    assert bandwidth(10e9, plain_step_ms=faster) == pytest.approx(200e9), "a step that was so fast has read so fast"
    (tmp_path / "bandwidth.json").write_text("[broken")
    assert bandwidth(5e9) == 5e9
    monkeypatch.setattr("mlx_spec.decoding.measuring.ceiling.version", lambda _: "99")
    assert bandwidth(3e9) == 3e9, "another MLX, another speed"


def test_a_step_reads_all_weights_but_the_table_it_takes_a_row_of() -> None:
    model = tiny_llama(1)  # its head is a matrix of its own
    assert step_bytes(model) == weights_bytes(model) - model.model.embed_tokens.weight.nbytes
    del model["lm_head"]  # as in a model whose table is its head, which a step reads whole
    assert step_bytes(model) == weights_bytes(model)


def test_of_experts_a_step_reads_those_it_takes() -> None:
    from mlx_lm.models.switch_layers import SwitchLinear

    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts = SwitchLinear(8, 8, 4, bias=False)
            self.rest = nn.Linear(8, 8, bias=False)

    model = Experts()
    assert step_bytes(model) is None, "it does not tell how many a token takes"
    model.args = type("Args", (), {"num_experts_per_tok": 1})()
    assert step_bytes(model) == model.experts.weight.nbytes // 4 + model.rest.weight.nbytes


def test_tokens_a_second_are_bandwidth_over_bytes() -> None:
    assert Ceiling(100e9, 500_000_000, 600_000_000).to_dict()["tokens_per_second"] == 200
    assert Ceiling(100e9, None, 600_000_000).tokens_per_second is None
