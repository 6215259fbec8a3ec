"""Timing forward passes of a target and its draft on this machine: over how many rows, in milliseconds."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import mlx.core as mx

from mlx_spec.decoding.cache.cached_model import CachedModel, CacheOptions, cached_model
from mlx_spec.decoding.cache.trials import is_shared
from mlx_spec.errors import UnsupportedModelError
from mlx_spec.lookahead.costs import DISTURBED, Calibration
from mlx_spec.lookahead.useful_widths import useful_widths
from mlx_spec.machine.disturbance import Disturbance
from mlx_spec.models.loading import ModelPair

ROUNDS: Final[CacheOptions] = {"speculative": True}
"""Passes as rounds make them that may see each other's rows, with keys and values in full."""
REPEATS: Final = 3
MORE_REPEATS: Final = 3
"""Where the machine was busy meanwhile: a burst ends, and of each width the fastest pass counts."""
_CONTEXT_TOKENS: Final = 32
_DRAFT_WIDTH: Final = 9
_STAGE: Final = "measuring the speed of passes"

Tell = Callable[[str, float], None]


def measure(
    pair: ModelPair,
    widths: Sequence[int],
    tell: Tell,
    how: CacheOptions = ROUNDS,
) -> Calibration:
    """Time passes of the target over each of `widths` (ascending, the first is 1), and of the draft.

    The target's are made as decoding will make them (`how`), so that their graphs are there for it. Of a target that
    can only be decoded plainly, a plain step is all that is measured.
    """
    others = Disturbance()
    try:
        target = begun(pair, how)
    except UnsupportedModelError:
        return Calibration((plain_step_ms(pair, how),), disturbance=others.read())
    useful = useful_widths(
        lambda width: pass_ms(target, width),
        widths,
        lambda done: tell(_STAGE, done / (REPEATS + 1)),
        skips=is_shared(pair.target),
    )
    times: dict[int, list[float]] = {width: [] for width in useful}
    for at in range(REPEATS + MORE_REPEATS):
        if at >= REPEATS and others.read() <= DISTURBED:
            break
        # In turns: a machine that is slower for a while is slower for all widths.
        for done, (width, taken) in enumerate(times.items()):
            tell(_STAGE, min(1.0, (1 + at + done / len(times)) / (REPEATS + 1)))
            taken.append(pass_ms(target, width))
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


def begun(pair: ModelPair, how: CacheOptions) -> CachedModel:
    """The target behind a short text. Raises UnsupportedModelError where passes cannot be made so."""
    target = cached_model(pair.target, pair.target_name, **how)
    target.prefill([0] * _CONTEXT_TOKENS)
    return target


def plain_step_ms(pair: ModelPair, how: CacheOptions) -> float:
    """The fastest of a few steps of the target by itself, which forgets nothing."""
    return _fastest_ms(begun(pair, {**how, "speculative": False}), 1, forgets=False)


def _fastest_ms(model: CachedModel, width: int, *, forgets: bool = True) -> float:
    """The fastest of a few passes."""
    pass_ms(model, width, forgets=forgets)  # allocates
    return min(pass_ms(model, width, forgets=forgets) for _ in range(REPEATS))


def pass_ms(model: CachedModel, width: int, *, forgets: bool = True) -> float:
    """The time of one pass over `width` tokens, which are forgotten again."""
    token_ids = mx.array([0] * width, dtype=mx.int32)
    started = time.perf_counter()
    mx.eval(mx.argmax(model.score(token_ids), axis=-1))
    elapsed_ms = (time.perf_counter() - started) * 1e3
    if forgets:
        model.forget(width)
    return elapsed_ms
