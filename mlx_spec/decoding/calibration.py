"""Measuring what forward passes cost on this machine, and keeping it on disk for the next start.

A pass over n rows costs about as much as one over a single row where weights are read once for all of them, and n
times as much where they are not; in between it goes by steps, which are elsewhere on every machine. What it is decides
whether speculation can pay, so each width is measured. What is kept counts as ratios, scaled to a plain step of today;
what was measured while other programs had much of the machine is doubted, and measured again.
"""

import contextlib
import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import mlx.core as mx

from mlx_spec.config import ExactnessChoice
from mlx_spec.decoding.cache.cached_model import CachedModel, cached_model
from mlx_spec.decoding.cache.kept_choice import choose_blocks
from mlx_spec.decoding.cache.pass_choice import PassChoice, adopt_choice, choice_of, measure_choice
from mlx_spec.decoding.cache.rows.known import row_widths
from mlx_spec.decoding.cache.rows.products import activation_dtype
from mlx_spec.decoding.cache.rows.widths import RowWidths
from mlx_spec.decoding.cache.trials import is_shared
from mlx_spec.errors import UnsupportedModelError
from mlx_spec.lookahead.costs import DISTURBED, Calibration
from mlx_spec.lookahead.useful_widths import useful_widths
from mlx_spec.machine.disturbance import Disturbance
from mlx_spec.machine.kept import keep, kept_path, read_kept
from mlx_spec.machine.kernels.products.layers import adopt, adopted
from mlx_spec.machine.kernels.products.measuring import measure as measure_products
from mlx_spec.machine.kernels.products.times import MatmulTimes
from mlx_spec.machine.resources import data_folder
from mlx_spec.models.loading import ModelPair
from mlx_spec.models.memory import serving_blas, weights_bytes

_CONTEXT_TOKENS: Final = 32
_REPEATS: Final = 3
_MORE_REPEATS: Final = 3
"""Where the machine was busy meanwhile: a burst ends, and of each width the fastest pass counts."""
_MOST_TRIES: Final = 4
"""So often a start measures again what was taken on a busy machine. Some are always busy."""
_DRAFT_WIDTH: Final = 9
_STAGE: Final = "measuring the speed of passes"
WIDE: Final = (10, 12, 14, 16, 20, 24, 32, 48)
"""Rows of the passes that answers share, beyond those of one answer. In small steps: eight answers with a draft for the
two or four that are surest should not be taken to cost what they cost with a draft for all."""
_WAYS: Final = "compiled_over_ordinary"
_VERSION: Final = 3

Tell = Callable[[str, float], None]


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
    rows = row_widths(pair.target, pair.target_name, kv_bits)
    exact, strict = rows.width or math.inf, _strict_rows(pair, rows, exactness)
    by_row = rows.by_row and _is_strict(rows, exactness)
    widest = max(widths)
    path = _path(pair, widths, kv_bits, strict, by_row=by_row)
    kept = {} if is_shared(pair.target) else read_kept(path)
    known, tries = _calibration_of(kept, widest), _tries_of(kept)
    if known is not None and not (known.doubtful and tries < _MOST_TRIES):
        adopt_choice(pair.target, replace(choice_of(kept.get(_WAYS)), exact_rows=exact))
        choose_blocks(pair.target, pair.target_name, tell, kv_bits)
        tell("checking the speed of a step", 0.0)
        plain_ms = _plain_step_ms(pair, listen_to, kv_bits, strict, by_row=by_row)
        return known.scaled(plain_ms / known.plain_step_ms)
    choice = PassChoice()
    with contextlib.suppress(UnsupportedModelError):  # it can only be decoded plainly
        choice = measure_choice(pair.target, pair.target_name, widest, listen_to, tell, kv_bits)
    adopt_choice(pair.target, replace(choice, exact_rows=exact))
    choose_blocks(pair.target, pair.target_name, tell, kv_bits)
    measured = measure(pair, widths, tell, listen_to, kv_bits, strict, by_row=by_row)
    if known is not None and known.disturbance < measured.disturbance:
        measured = known.scaled(measured.plain_step_ms / known.plain_step_ms)
    beside = {"tries": tries + 1 if known is not None else 1, _WAYS: [list(ratio) for ratio in choice.ratios]}
    if not is_shared(pair.target):
        _write(path, measured, _circumstances(pair.target_name, pair.draft_name, kv_bits) | beside)
    return measured


def wide_ratios(
    pair: ModelPair, listen_to: tuple[int, ...] = (), kv_bits: int | None = None
) -> Generator[None, None, dict[int, float]]:
    """What passes over the rows of a batch (`WIDE`) take, in plain steps, by rows: kept on disk, or measured and kept.

    A pass a step, for idle moments: no answer needs to wait for it. Nothing of a target that can only be decoded
    plainly.
    """
    path = _path(pair, WIDE, kv_bits)
    kept = None if is_shared(pair.target) else read_kept(path).get("wide_ratios")
    if isinstance(kept, dict) and set(kept) == set(map(str, WIDE)):
        with contextlib.suppress(ValueError, TypeError):
            found = {int(width): float(ratio) for width, ratio in kept.items()}
            if all(0 < ratio < 1e3 for ratio in found.values()):
                return found
    try:
        target = _target(pair, listen_to, kv_bits)
    except UnsupportedModelError:
        return {}
    target.prefill([0] * _CONTEXT_TOKENS)
    fastest = dict.fromkeys((1, *WIDE), math.inf)
    for at in range(_REPEATS + 1):
        for width in fastest:  # in turns, as in `measure`
            taken = _pass_ms(target, width)
            fastest[width] = min(fastest[width], taken) if at else math.inf  # the first allocates
            yield
    ratios = {width: fastest[width] / fastest[1] for width in WIDE}
    if not is_shared(pair.target):
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


def measure(
    pair: ModelPair,
    widths: Sequence[int],
    tell: Tell,
    listen_to: tuple[int, ...] = (),
    kv_bits: int | None = None,
    widest: int | None = None,
    *,
    by_row: bool = False,
) -> Calibration:
    """Time passes of the target over each of `widths` (ascending, the first is 1), and of the draft. They are strict as
    far as they may be with `widest`; see `CachedModel`.

    The passes are those that decoding will make, `by_row` where strict answers do, so that their graphs are there for
    it. Of a target that can only be decoded plainly, a plain step is all that is measured.
    """
    others = Disturbance()
    try:
        target = _target(pair, listen_to, kv_bits, widest, by_row=by_row)
    except UnsupportedModelError:
        plain_ms = _plain_step_ms(pair, listen_to, kv_bits, widest, by_row=by_row)
        return Calibration((plain_ms,), disturbance=others.read())
    target.prefill([0] * _CONTEXT_TOKENS)
    useful = useful_widths(
        lambda width: _pass_ms(target, width),
        widths,
        lambda done: tell(_STAGE, done / (_REPEATS + 1)),
        skips=is_shared(pair.target),
    )
    times: dict[int, list[float]] = {width: [] for width in useful}
    for at in range(_REPEATS + _MORE_REPEATS):
        if at >= _REPEATS and others.read() <= DISTURBED:
            break
        # In turns: a machine that is slower for a while is slower for all widths.
        for done, (width, taken) in enumerate(times.items()):
            tell(_STAGE, min(1.0, (1 + at + done / len(times)) / (_REPEATS + 1)))
            taken.append(_pass_ms(target, width))
    step_ms = token_ms = 0.0
    if pair.draft is not None:
        draft = CachedModel(pair.draft, pair.draft_name or "the draft", speculative=True)
        draft.prefill([0] * _CONTEXT_TOKENS)
        step_ms, wide_ms = (_fastest_ms(draft, width) for width in (1, _DRAFT_WIDTH))
        token_ms = max(0.0, wide_ms - step_ms) / (_DRAFT_WIDTH - 1)
    # The fastest of a few: what else there is in a time is somebody else's.
    curve = _curve({width: min(found) for width, found in times.items()}, max(widths))
    return Calibration(curve, step_ms, token_ms, others.read(), tuple(times))


def _curve(times: dict[int, float], widest: int) -> tuple[float, ...]:
    """Milliseconds for every width from 1 to `widest`: as measured, as the next wider one that was, to which it will be
    padded, and in a straight line beyond the last."""
    last = max(times)
    slope = (times[last] - times[1]) / max(1, last - 1)
    curve = []
    for width in range(1, widest + 1):
        wider = min((measured for measured in times if measured >= width), default=None)
        curve.append(times[last] + slope * (width - last) if wider is None else times[wider])
    return tuple(curve)


def _strict_rows(pair: ModelPair, rows: RowWidths, exactness: ExactnessChoice) -> int | None:
    """Up to how many rows the passes of most answers are strict, where such are made otherwise than fast ones."""
    return rows.width if _is_strict(rows, exactness) and adopted(pair.target) else None


def _is_strict(rows: RowWidths, exactness: ExactnessChoice) -> bool:
    return exactness == "strict" or (exactness == "auto" and rows.allows_strict)


def _target(
    pair: ModelPair,
    listen_to: tuple[int, ...],
    kv_bits: int | None,
    widest: int | None = None,
    *,
    speculative: bool = True,
    by_row: bool = False,
) -> CachedModel:
    return cached_model(
        pair.target,
        pair.target_name,
        speculative=speculative,
        listen_to=listen_to,
        kv_bits=kv_bits,
        widest=widest,
        by_row=by_row,
    )


def _plain_step_ms(
    pair: ModelPair,
    listen_to: tuple[int, ...],
    kv_bits: int | None,
    widest: int | None = None,
    *,
    by_row: bool = False,
) -> float:
    model = _target(pair, listen_to, kv_bits, widest, speculative=False, by_row=by_row)
    model.prefill([0] * _CONTEXT_TOKENS)
    return _fastest_ms(model, 1, forgets=False)


def _fastest_ms(model: CachedModel, width: int, *, forgets: bool = True) -> float:
    """The fastest of a few passes."""
    _pass_ms(model, width, forgets=forgets)  # allocates
    return min(_pass_ms(model, width, forgets=forgets) for _ in range(_REPEATS))


def _pass_ms(model: CachedModel, width: int, *, forgets: bool = True) -> float:
    """The time of one pass over `width` tokens, which are forgotten again."""
    token_ids = mx.array([0] * width, dtype=mx.int32)
    started = time.perf_counter()
    mx.eval(mx.argmax(model.score(token_ids), axis=-1))
    elapsed_ms = (time.perf_counter() - started) * 1e3
    if forgets:
        model.forget(width)
    return elapsed_ms


def _circumstances(target_name: str, draft_name: str | None, kv_bits: int | None = None) -> dict[str, Any]:
    """What a kept file says of itself, to be found again without loading the models."""
    device = str(mx.default_device())
    return {
        "target": target_name,
        "draft": draft_name,
        "device": device,
        "mlx": version("mlx"),
        "blas": serving_blas(),
        "kv_bits": kv_bits,
    }


def _newest_first(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return []


def _path(
    pair: ModelPair, widths: Sequence[int], kv_bits: int | None, strict: int | None = None, *, by_row: bool = False
) -> Path:
    device = mx.device_info() if mx.default_device().type == mx.DeviceType.gpu else {}
    facts: list[Any] = [_VERSION, version("mlx"), str(mx.default_device()), sorted(map(str, device.items()))]
    facts += [serving_blas(), list(widths), pair.target_name, pair.draft_name, weights_bytes(pair.target)]
    facts.append(weights_bytes(pair.draft) if pair.draft is not None else 0)
    facts += [] if kv_bits is None else [kv_bits]
    facts += [] if strict is None else ["strict", strict]
    facts += ["by row"] if by_row else []
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
