"""The row widths of each model: measured once on a machine, kept with its calibration, read again by later processes.

On a CPU the MLX wheel's own BLAS, and MLX's own products, have a loop for each row, so in float32 a model whose rows
keep their bits at all widths that are tried keeps them at any. Not every model does: some take another way where a pass
has one row (latent attention that absorbs its products, states that are scanned), which no product tells.
"""

import platform
import weakref
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import ArraysCache, RotatingKVCache, make_prompt_cache

from mlx_spec.decoding.cache.passes.by_row import serves
from mlx_spec.decoding.cache.rollback import leaves
from mlx_spec.decoding.cache.rows.products import activation_dtype, part_widths
from mlx_spec.decoding.cache.rows.whole_passes import steps_to, strict_price, whole_widths
from mlx_spec.decoding.cache.rows.widths import PartWidth, RowWidths, any_width, widths_of
from mlx_spec.machine.kept import keep, kept_path, read_kept
from mlx_spec.machine.kernels import dispatch
from mlx_spec.machine.kernels.products.few_rows import MATMUL
from mlx_spec.machine.resources import data_folder
from mlx_spec.models.memory import blas_build, blas_threads, rows_are_independent, weights_bytes
from mlx_spec.models.splitting.share import share_of

_VERSION: Final = 4
_FOLDER: Final = "rows"
MOST: Final = {mx.cpu: 8, mx.gpu: 16}
"""So many rows are tried. What keeps rows apart on a CPU takes as long for each as for the first: more win nothing."""

MLXS_ATTENTION: Final = "attention through MLX's own kernels, which change with the number of keys"
WINDOWS: Final = "attention to a sliding window, which a single row finds in another order once it is full"

_KNOWN: Final[dict[tuple[int, int | None], RowWidths]] = {}


def known_widths(model: nn.Module, name: str, kv_bits: int | None = None) -> RowWidths | None:
    """What is known of a model without computing anything: as it was measured here before; None where nothing is."""
    key = id(model), kv_bits
    if key not in _KNOWN:
        found = widths_of(read_kept(_path(model, name, kv_bits)))
        if found is None:
            return None
        _remember(model, kv_bits, found)
    return _KNOWN[key]


def row_widths(model: nn.Module, name: str, kv_bits: int | None = None) -> RowWidths:
    """What is known of a model; else it is measured, which takes about as long as thirty plain steps at the most, and
    kept."""
    if (known := known_widths(model, name, kv_bits)) is None:
        known = measure_widths(model, name, kv_bits)
        if known.width == known.tried and _has_loops(model):
            known = any_width(trees=known.trees)
        keep(_path(model, name, kv_bits), _circumstances(name, kv_bits) | known.to_dict())
        _remember(model, kv_bits, known)
    return known


def measure_widths(model: nn.Module, name: str, kv_bits: int | None = None) -> RowWidths:
    """Try the parts of a pass one by one, and whole passes as wide as the narrowest part leaves them.

    On a GPU attention goes by row wherever that serves, however wide MLX's own may be at the contexts that are tried:
    from some number of keys on other kernels of its serve, and a wider pass comes to that number before a step does.
    So where it does not serve, nothing that was tried says anything of a long text, and passes have one row. The same
    goes for sliding windows: the texts that are tried fill none.
    """
    most = MOST[mx.default_device().type]
    by_row = kv_bits is None and dispatch.serves() and serves(model)
    parts = tuple(part_widths(model, most, by_row=by_row))
    if _on_metal() and not by_row and _attends(model):
        parts = (*parts, PartWidth(MLXS_ATTENTION, 1))
    if not by_row and any(type(cache) is RotatingKVCache for cache in leaves(make_prompt_cache(model))):
        parts = (*parts, PartWidth(WINDOWS, 1))
    on_gpu = mx.default_device().type == mx.gpu
    narrowest = min((one.width for one in parts), default=most)
    widths = list(steps_to(narrowest, every=on_gpu))
    width, trees = whole_widths(model, name, kv_bits, widths, by_row=by_row)
    return RowWidths(width, trees, parts, most, by_row, strict_price(model, name, kv_bits, by_row=by_row))


def _on_metal() -> bool:
    return mx.metal.is_available() and mx.default_device().type == mx.gpu


def _attends(model: nn.Module) -> bool:
    """Whether there is more to it than states."""
    return any(type(cache) is not ArraysCache for cache in leaves(make_prompt_cache(model)))


def stored_widths() -> list[tuple[str, RowWidths]]:
    """By the names of the targets, what is kept under today's device, versions and BLAS, the newest first. Loads no
    model: for showing."""
    wanted, found = _circumstances("", None), []
    for path in _newest_first(data_folder() / _FOLDER):
        kept = read_kept(path)
        alike = all(kept.get(key) == value for key, value in wanted.items() if key not in ("target", "kv_bits"))
        if alike and (widths := widths_of(kept)) is not None:
            bits = kept.get("kv_bits")
            found.append((f"{kept['target']}, {bits} bits a key" if bits else str(kept["target"]), widths))
    return found


def _has_loops(model: nn.Module) -> bool:
    """Whether each of a product's rows is made by a loop of its own."""
    return rows_are_independent() and activation_dtype(model) == mx.float32


def _remember(model: nn.Module, kv_bits: int | None, widths: RowWidths) -> None:
    _KNOWN[id(model), kv_bits] = widths
    weakref.finalize(model, _KNOWN.pop, (id(model), kv_bits), None)


def _circumstances(name: str, kv_bits: int | None) -> dict[str, Any]:
    return {
        "target": name,
        "kv_bits": kv_bits,
        "device": str(mx.default_device()),
        "mlx": version("mlx"),
        "mlx_lm": version("mlx-lm"),
        "blas": blas_build(),
        "threads": blas_threads(),
    }


def _path(model: nn.Module, name: str, kv_bits: int | None) -> Path:
    device = mx.device_info() if mx.default_device().type == mx.DeviceType.gpu else {}
    facts: list[Any] = [_VERSION, *_circumstances(name, kv_bits).values(), sorted(map(str, device.items()))]
    facts += [platform.machine(), weights_bytes(model), str(activation_dtype(model))]
    if (share := share_of(model)) is not None:
        facts += [repr(share.split), *share.machines]
    if dispatch.multiplies():  # a strict pass's products have the bits of our kernel
        facts += [MATMUL.header(), MATMUL.body()]
    return kept_path(_FOLDER, facts)


def _newest_first(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return []
