"""What forward passes cost on this machine, kept on disk for the next start.

A pass over n rows costs about as much as one over a single row where weights are read once for all of them, and n
times as much where they are not; in between it goes by steps, which are elsewhere on every machine. What it is decides
whether speculation can pay, so each width is measured. What is kept counts as ratios, scaled to a plain step of today;
what was measured while other programs had much of the machine is doubted, and measured again.
"""

import contextlib
import math
from collections.abc import Generator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import mlx.core as mx

from mlx_spec.config import ExactnessChoice
from mlx_spec.decoding.cache.cached_model import CacheOptions
from mlx_spec.decoding.cache.kept_choice import choose_blocks
from mlx_spec.decoding.cache.pass_choice import PassChoice, adopt_choice, choice_of, measure_choice
from mlx_spec.decoding.cache.rows.known import row_widths
from mlx_spec.decoding.cache.rows.products import activation_dtype
from mlx_spec.decoding.cache.trials import is_shared
from mlx_spec.decoding.measuring.pass_times import (
    MORE_REPEATS,
    REPEATS,
    ROUNDS,
    Tell,
    begun,
    measure,
    pass_ms,
    plain_step_ms,
)
from mlx_spec.errors import UnsupportedModelError
from mlx_spec.lookahead.costs import DISTURBED, Calibration
from mlx_spec.machine.disturbance import Disturbance
from mlx_spec.machine.kept import keep, kept_path, read_kept
from mlx_spec.machine.kernels.products.layers import adopt, adopted
from mlx_spec.machine.kernels.products.measuring import measure as measure_products
from mlx_spec.machine.kernels.products.times import MatmulTimes
from mlx_spec.machine.resources import data_folder
from mlx_spec.models.loading import ModelPair
from mlx_spec.models.memory import blas_build, weights_bytes

_MOST_TRIES: Final = 4
"""So often a start measures again what was taken on a busy machine. Some are always busy."""
WIDE: Final = (10, 12, 14, 16, 20, 24, 32, 48)
"""Rows of the passes that answers share, beyond those of one answer. In small steps: eight answers with a draft for the
two or four that are surest should not be taken to cost what they cost with a draft for all."""
_WAYS: Final = "compiled_over_ordinary"
_VERSION: Final = 3


def calibrated(
    pair: ModelPair,
    widths: Sequence[int],
    tell: Tell,
    listen_to: tuple[int, ...] = (),
    kv_bits: int | None = None,
    exactness: ExactnessChoice = "auto",
) -> Calibration:
    """The calibration of a pair for verify passes of these `widths` in rows: from the disk where it is there, scaled to
    today's plain step, else measured and kept. `listen_to` are the target's layers that drafters will read, `kv_bits`
    what it keeps each key and value in, `exactness` what most answers ask for: passes cost something else then. Of a
    target that several machines share nothing is kept, as it is the way between them that decides."""
    # First, because it may change what a pass over a few tokens costs.
    if not is_shared(pair.target):  # all who share it compute alike, whatever is fastest on each machine
        times = MatmulTimes()
        measure_products(pair.target, times, activation_dtype(pair.target), tell=tell)
        adopt(pair.target, times)
    adopt_choice(pair.target, PassChoice())  # else one of the two ways that are compared would be the other
    exact = row_widths(pair.target, pair.target_name, kv_bits).width or math.inf
    how, widest = _made(pair, listen_to, kv_bits, exactness), max(widths)
    path = _path(pair, widths, how)
    kept = {} if is_shared(pair.target) else read_kept(path)
    known, tries = _calibration_of(kept, widest), _tries_of(kept)
    if known is not None and not (known.doubtful and tries < _MOST_TRIES):
        adopt_choice(pair.target, replace(choice_of(kept.get(_WAYS)), exact_rows=exact))
        choose_blocks(pair.target, pair.target_name, tell, kv_bits)
        tell("checking the speed of a step", 0.0)
        return known.scaled(plain_step_ms(pair, how) / known.plain_step_ms)
    choice = PassChoice()
    with contextlib.suppress(UnsupportedModelError):  # it can only be decoded plainly
        choice = measure_choice(pair.target, pair.target_name, widest, listen_to, tell, kv_bits)
    adopt_choice(pair.target, replace(choice, exact_rows=exact))
    choose_blocks(pair.target, pair.target_name, tell, kv_bits)
    measured = measure(pair, widths, tell, how)
    if known is not None and known.disturbance < measured.disturbance:
        measured = known.scaled(measured.plain_step_ms / known.plain_step_ms)
    beside = {"tries": tries + 1 if known is not None else 1, _WAYS: [list(ratio) for ratio in choice.ratios]}
    if not is_shared(pair.target):
        _write(path, measured, _circumstances(pair.target_name, pair.draft_name, kv_bits) | beside)
    return measured


def wide_ratios(
    pair: ModelPair,
    listen_to: tuple[int, ...] = (),
    kv_bits: int | None = None,
    exactness: ExactnessChoice = "fast",
) -> Generator[None, None, dict[int, float]]:
    """What passes over the rows of a batch (`WIDE`) take, in plain steps, by rows: kept on disk, or measured and kept.

    A pass a step, for idle moments: no answer needs to wait for it. Nothing of a target that can only be decoded
    plainly.
    """
    how = _made(pair, listen_to, kv_bits, exactness)
    path = _path(pair, WIDE, how)
    kept = None if is_shared(pair.target) else read_kept(path).get("wide_ratios")
    if isinstance(kept, dict) and set(kept) == set(map(str, WIDE)):
        with contextlib.suppress(ValueError, TypeError):
            found = {int(width): float(ratio) for width, ratio in kept.items()}
            if all(0 < ratio < 1e3 for ratio in found.values()):
                return found
    try:
        target = begun(pair, how)
    except UnsupportedModelError:
        return {}
    fastest, quiet = dict.fromkeys((1, *WIDE), math.inf), 0
    for at in range(1 + REPEATS + MORE_REPEATS):
        others = Disturbance()
        for width in fastest:  # in turns, as in `measure`
            pass_ms(target, 1)  # what was done since the last step has left memory and caches to others
            taken = pass_ms(target, width)
            fastest[width] = min(fastest[width], taken) if at else math.inf  # the first allocates
            yield
        quiet += bool(at) and others.read() <= DISTURBED
        if quiet == REPEATS:
            break
    ratios = {width: fastest[width] / fastest[1] for width in WIDE}
    # Of a machine that was never quiet they serve until it is measured anew.
    if quiet and not is_shared(pair.target):
        keep(path, {"wide_ratios": ratios})
    return ratios


def stored(target_name: str, draft_name: str | None) -> Calibration | None:
    """The newest calibration kept of a pair under today's device, MLX and BLAS, with keys and values in full, as it was
    measured; None without one.

    Loads no model, so a pair whose weights have changed since is not noticed: for showing, not for planning.
    """
    wanted = _circumstances(target_name, draft_name)
    for path in _newest_first(data_folder() / "calibration"):
        kept = read_kept(path)
        try:
            fits = {key: kept.get(key) for key in wanted} == wanted
            calibration = _calibration_of(kept, len(kept["verify_ms"])) if fits else None
        except (KeyError, TypeError):
            continue
        if calibration is not None:
            return calibration
    return None


def _made(pair: ModelPair, listen_to: tuple[int, ...], kv_bits: int | None, exactness: ExactnessChoice) -> CacheOptions:
    """How most answers have the target's passes made."""
    how: CacheOptions = {**ROUNDS, "listen_to": listen_to, "kv_bits": kv_bits}
    if exactness == "fast":
        return how
    rows = row_widths(pair.target, pair.target_name, kv_bits)
    if exactness == "auto" and not rows.allows_strict:
        return how
    # Without products of ours strict passes are made as fast ones are, and what is known of these holds.
    return {**how, "widest": rows.width if adopted(pair.target) else None, "by_row": rows.by_row}


def _circumstances(target_name: str, draft_name: str | None, kv_bits: int | None = None) -> dict[str, Any]:
    """What a kept file says of itself, to be found again without loading the models."""
    device = str(mx.default_device())
    return {
        "target": target_name,
        "draft": draft_name,
        "device": device,
        "mlx": version("mlx"),
        "blas": blas_build(),
        "kv_bits": kv_bits,
    }


def _newest_first(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return []


def _path(pair: ModelPair, widths: Sequence[int], how: CacheOptions) -> Path:
    device = mx.device_info() if mx.default_device().type == mx.DeviceType.gpu else {}
    facts: list[Any] = [_VERSION, version("mlx"), str(mx.default_device()), sorted(map(str, device.items()))]
    facts += [blas_build(), list(widths), pair.target_name, pair.draft_name, weights_bytes(pair.target)]
    facts.append(weights_bytes(pair.draft) if pair.draft is not None else 0)
    kv_bits, strict = how.get("kv_bits"), how.get("widest")
    facts += [] if kv_bits is None else [kv_bits]
    facts += [] if strict is None else ["strict", strict]
    facts += ["by row"] if how.get("by_row") else []
    return kept_path("calibration", facts)


def _calibration_of(kept: dict[str, Any], widest: int) -> Calibration | None:
    """What was kept; None where nothing was, or what is there makes no sense: then it is measured again."""
    try:
        calibration = Calibration(
            tuple(float(value) for value in kept["verify_ms"]),
            float(kept["draft_step_ms"]),
            float(kept["draft_token_ms"]),
            float(kept["disturbance"]),
            tuple(int(width) for width in kept["measured"]),
        )
    except (ValueError, KeyError, TypeError):
        return None
    sound = len(calibration.verify_ms) == widest and all(0 < value < 1e6 for value in calibration.verify_ms)
    return calibration if sound and 0 <= calibration.draft_step_ms < 1e6 else None


def _tries_of(kept: dict[str, Any]) -> int:
    """How often what was kept had been measured."""
    tries = kept.get("tries")
    return tries if isinstance(tries, int) else _MOST_TRIES


def _write(path: Path, calibration: Calibration, circumstances: dict[str, Any]) -> None:
    """Keep it and its circumstances. Where the folder is read-only it is measured anew at the next start."""
    values = circumstances | {
        "verify_ms": calibration.verify_ms,
        "draft_step_ms": calibration.draft_step_ms,
        "draft_token_ms": calibration.draft_token_ms,
        "disturbance": calibration.disturbance,
        "measured": calibration.measured,
    }
    keep(path, values)
