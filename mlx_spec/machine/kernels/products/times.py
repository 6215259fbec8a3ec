"""What quantised matmuls take on this machine, measured once for each shape and kept in the data folder."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import mlx.core as mx

from mlx_spec.machine.kept import keep, read_kept
from mlx_spec.machine.resources import data_folder

FASTER_BY: Final = 0.05
"""Our kernel serves where it takes at least so much less time than MLX's own: less could be chance."""
_REPEATS: Final = 9
_CALLS: Final = 20


@dataclass(frozen=True, slots=True)
class MatmulShape:
    """`[rows, inputs]`, of type `dtype`, times `[outputs, inputs]`, the latter quantised: see `weights.Packing`."""

    rows: int
    outputs: int
    inputs: int
    mode: str
    bits: int
    group_size: int
    dtype: str


@dataclass(frozen=True, slots=True)
class MatmulTime:
    """Medians, in microseconds."""

    stock_us: float
    ours_us: float

    @property
    def faster(self) -> bool:
        """Whether ours is clearly faster."""
        return self.ours_us <= self.stock_us * (1 - FASTER_BY)


class MatmulTimes:
    """The table of one machine. A file of another machine or another MLX, or a damaged one, counts as none."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or data_folder() / "kernels" / "few_rows_matmul.json"
        self._known = _read(self._path)

    def knows(self, shape: MatmulShape) -> bool:
        """Whether this shape was measured."""
        return shape in self._known

    def faster(self, shape: MatmulShape) -> bool:
        """Whether our kernel was measured to be faster; False where nobody measured."""
        known = self._known.get(shape)
        return known is not None and known.faster

    def rows(self) -> list[tuple[MatmulShape, MatmulTime]]:
        """Everything that was measured, by shape."""
        return sorted(self._known.items(), key=lambda item: tuple(asdict(item[0]).values()))

    def measure(self, shape: MatmulShape, stock: Callable[[], mx.array], ours: Callable[[], mx.array]) -> MatmulTime:
        """Time both in turns, so that a machine that is slower for a while is slower for both."""
        samples: tuple[list[float], list[float]] = ([], [])
        for repeat in range(_REPEATS + 1):
            for times, call in zip(samples, (stock, ours), strict=True):
                taken = _microseconds(call)
                if repeat:  # the first turn compiles
                    times.append(taken)
        self._known[shape] = MatmulTime(statistics.median(samples[0]), statistics.median(samples[1]))
        return self._known[shape]

    def save(self) -> None:
        """Keep the table; where the folder is read-only it is measured again."""
        rows = [asdict(shape) | {"stock_us": t.stock_us, "ours_us": t.ours_us} for shape, t in self.rows()]
        keep(self._path, {"machine": _machine(), "times": rows})


def _microseconds(call: Callable[[], mx.array]) -> float:
    started = time.perf_counter()
    mx.eval([call() for _ in range(_CALLS)])
    return (time.perf_counter() - started) / _CALLS * 1e6


def _machine() -> dict[str, Any]:
    info = mx.device_info() if mx.metal.is_available() else {}
    return {"mlx": version("mlx"), "device": str(info.get("device_name", "cpu"))}


def _read(path: Path) -> dict[MatmulShape, MatmulTime]:
    kept = read_kept(path)
    try:
        if kept["machine"] != _machine():
            return {}
        found = {}
        for row in kept["times"]:
            measured = MatmulTime(float(row.pop("stock_us")), float(row.pop("ours_us")))
            found[MatmulShape(**row)] = measured
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return found
