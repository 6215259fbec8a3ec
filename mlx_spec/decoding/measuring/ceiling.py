"""The fastest that plain decoding could be: each of its steps reads the target's weights once, and memory has a speed.

The speed is measured, not looked up: a buffer far larger than any cache is read through MLX, by a sum and by the
product of a matrix with a vector, which is what a decoding step does. The best of all readings counts, since whatever
disturbs one makes it slower: those of this start, those of earlier ones, which are kept on disk for this device, MLX
and BLAS, and that of a plain step itself, which has read the weights in the time it took.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

import mlx.core as mx
import mlx.nn as nn
import psutil
from mlx.utils import tree_flatten
from mlx_lm.models import switch_layers

from mlx_spec.decoding.cache.trials import is_shared
from mlx_spec.machine.kept import keep, read_kept
from mlx_spec.machine.resources import data_folder
from mlx_spec.models.memory import DeviceInfo, device_info, weights_bytes

_BUFFER_BYTES: Final = 512 * 2**20  # the largest caches of today's processors hold a quarter of it
_MEMORY_SHARE: Final = 8  # no more than an eighth of what is free
_READINGS: Final = 5
_READINGS_AGAIN: Final = 1  # of each way, where earlier starts have measured
_ROW: Final = 4096
_FILE: Final = "bandwidth.json"

Tell = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Memory bandwidth in bytes a second, and how many bytes a plain step of the target must read at the least.

    `step_bytes` counts weights only; the context's keys and values come on top, so the true limit is a little lower.
    It is None for a mixture of experts that does not tell how many of them a token takes.
    """

    bandwidth_bytes_per_s: float | None
    step_bytes: int | None
    weights_bytes: int | None
    device: str = ""

    @property
    def tokens_per_second(self) -> float | None:
        """The fastest that plain decoding could be; None where one of the two is unknown."""
        if self.bandwidth_bytes_per_s is None or not self.step_bytes:
            return None
        return self.bandwidth_bytes_per_s / self.step_bytes

    def to_dict(self) -> dict[str, float | int | str | None]:
        """Ready for JSON."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return fields | {"tokens_per_second": self.tokens_per_second}


UNKNOWN_CEILING: Final = Ceiling(None, None, None)


def measured_ceiling(target: nn.Module, tell: Tell, plain_step_ms: float | None = None) -> Ceiling:
    """The ceiling of `target` on this machine; `plain_step_ms` is what a plain step was measured to take."""
    facts = _facts(device := device_info())
    tell("measuring the memory's speed", 0.0)
    # What others have of it, and how they wait for each other, is not known here.
    known, read = _read(facts), None if is_shared(target) else step_bytes(target)
    by_step = read * 1e3 / plain_step_ms if read and plain_step_ms else 0.0
    bandwidth = max(known or 0.0, by_step, measure_bandwidth(_READINGS if known is None else _READINGS_AGAIN))
    if bandwidth != known:
        _write(facts, bandwidth)
    return Ceiling(bandwidth, read, weights_bytes(target), device.name)


def known_bandwidth() -> float | None:
    """What earlier starts have measured of this device, in bytes a second; None where none has."""
    return _read(_facts(device_info()))


def measure_bandwidth(readings: int = _READINGS, buffer_bytes: int = _BUFFER_BYTES) -> float:
    """Bytes a second that MLX reads from memory on its default device, in the best of `readings` in each way."""
    buffer_bytes = min(buffer_bytes, psutil.virtual_memory().available // _MEMORY_SHARE)
    rows = max(1, buffer_bytes // (4 * _ROW))
    matrix = mx.arange(rows * _ROW, dtype=mx.float32).reshape(rows, _ROW)
    best_s = _best_seconds(matrix, mx.ones((_ROW,)), readings)
    del matrix
    mx.clear_cache()  # the buffer is of no use to anybody else
    return 4 * rows * _ROW / best_s


def step_bytes(model: nn.Module) -> int | None:
    """Bytes of weights that a plain step reads: all but a table of which it takes one row, and experts it skips."""
    skipped = 0.0
    modules = list(model.named_modules())
    if any(name.endswith("lm_head") for name, _ in modules):  # without one the table is the head too, and read whole
        skipped += sum(weights_bytes(m) for _, m in modules if isinstance(m, nn.Embedding | nn.QuantizedEmbedding))
    experts = [module for _, module in modules if isinstance(module, _EXPERTS)]
    if experts:
        taken = getattr(getattr(model, "args", None), "num_experts_per_tok", None)
        if not isinstance(taken, int):
            return None
        skipped += sum(weights_bytes(module) * (1 - min(1.0, taken / _count(module))) for module in experts)
    return int(weights_bytes(model) - skipped)


_EXPERTS: Final = (switch_layers.SwitchLinear, switch_layers.QuantizedSwitchLinear)


def _count(experts: nn.Module) -> int:
    """How many experts a layer has: the first axis of each of its weights."""
    return int(max(array.shape[0] for _, array in tree_flatten(experts.parameters())))


def _best_seconds(matrix: mx.array, vector: mx.array, readings: int) -> float:
    """The quickest reading of `matrix` `[rows, n]`, in whichever way."""
    mx.eval(matrix, vector)
    ways: tuple[Callable[[], mx.array], ...] = (lambda: mx.sum(matrix), lambda: matrix @ vector)
    best = float("inf")
    for way in ways * readings:
        started = time.perf_counter()
        mx.eval(way())
        best = min(best, time.perf_counter() - started)
    return best


def _facts(device: DeviceInfo) -> dict[str, str]:
    """What a memory's speed belongs to."""
    return {"device": device.name, "kind": device.kind, "mlx": version("mlx"), "blas": device.blas}


def _read(facts: dict[str, str]) -> float | None:
    kept = read_kept(data_folder() / _FILE)
    try:
        bandwidth = float(kept["bytes_per_s"])
        return bandwidth if kept["facts"] == facts and bandwidth > 0 else None
    except (ValueError, KeyError, TypeError):
        return None


def _write(facts: dict[str, str], bandwidth: float) -> None:
    """Keep it; where the folder is read-only it is measured anew at the next start."""
    keep(data_folder() / _FILE, {"facts": facts, "bytes_per_s": bandwidth})
