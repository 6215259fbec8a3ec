"""The models by themselves: what a forward pass takes without any decoding around it."""

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

import mlx.core as mx
from mlx_lm.models.cache import can_trim_prompt_cache, trim_prompt_cache

from mlx_spec.bench.contenders import prefilled
from mlx_spec.bench.runs import Block, Passes
from mlx_spec.decoding.cache.making import make_caches
from mlx_spec.models.loading import ModelPair

_REPEATS: Final = 3


def time_passes(
    pair: ModelPair,
    block: Block,
    prompt_ids: Sequence[int],
    widths: Iterable[int],
    answer_tokens: int,
    kv_bits: int | None = None,
) -> Passes:
    """Time passes of the target, with keys and values in `kv_bits`, over each of `widths` tokens, and of the draft over
    one, in the middle of an answer to `prompt_ids`; all in turns, the median of three."""
    half = [prompt_ids[-1]] * (answer_tokens // 2)
    target = _Timed(pair.target, prompt_ids, half, make_caches(pair.target, pair.target_name, kv_bits))
    draft = _Timed(pair.draft, prompt_ids, half) if pair.draft is not None else None
    widths = sorted(set(widths) | {1})
    ways: list[tuple[int | None, Callable[[], float]]] = [(width, partial(target.ms, width)) for width in widths]
    if draft is not None:
        ways.append((None, partial(draft.ms, 1)))
    for _, way in ways:  # first passes of a width allocate
        way()
    times: dict[int | None, list[float]] = {key: [] for key, _ in ways}
    for _ in range(_REPEATS):
        for key, way in ways:
            times[key].append(way())
    medians = {key: statistics.median(samples) for key, samples in times.items()}
    return Passes(
        *block,
        verify_ms=tuple((width, medians[width]) for width in widths),
        draft_ms=medians.get(None),
        cache_bytes=sum(model.bytes_after(half) for model in (target, draft) if model is not None),
    )


class _Timed:
    """A model with mlx-lm's cache of it, or one that is given empty."""

    def __init__(
        self, model: Any, prompt_ids: Sequence[int], answer_ids: Sequence[int], empty: list[Any] | None = None
    ) -> None:
        self._model = model
        self._cache = prefilled(model, [*prompt_ids, *answer_ids], empty)
        self._trims = can_trim_prompt_cache(self._cache)

    def ms(self, width: int) -> float:
        """The time of one pass, which is forgotten again where the cache can; elsewhere the context grows a little."""
        tokens = mx.zeros((1, width), dtype=mx.int32)
        started = time.perf_counter()
        mx.eval(self._model(tokens, cache=self._cache))
        elapsed_ms = (time.perf_counter() - started) * 1e3
        if self._trims:
            trim_prompt_cache(self._cache, width)
        return elapsed_ms

    def bytes_after(self, answer_ids: Sequence[int]) -> int:
        """What the cache holds when these tokens have been added."""
        prefilled(self._model, answer_ids, self._cache)
        return sum(int(layer.nbytes) for layer in self._cache)
