"""Passes whose attention leaves each row the bits that it has alone, over a model's own caches.

On a GPU MLX takes other kernels for more rows, and for more keys: a wider pass comes to such a number of keys before a
plain step does. A strict answer's passes go through `row_attention` instead: at the seam (`attention.py`), so that no
model's code is copied, by what the cache and its mask say that a row sees. Prompts are read as ever: the chunks of one
always have the same rows.
"""

import logging
import weakref
from typing import Any, Final

import mlx.core as mx
from mlx_lm.models.cache import KVCache, RotatingKVCache, make_prompt_cache

from mlx_spec.decoding.cache.agreement import rows_agree
from mlx_spec.decoding.cache.passes.attention import OwnWay, seam_of
from mlx_spec.decoding.cache.trials import go, judged, trial
from mlx_spec.machine.kernels.row_attention import SeenKeys, causal, everything, masked, row_attention
from mlx_spec.models.splitting.order import in_order

_TEXT: Final = ([1, 2, 3, 4, 5, 3, 1, 4, 2, 5, 1], [2, 5, 4], [3], [1, 4])

_SERVES: Final[dict[int, bool]] = {}

logger = logging.getLogger(__name__)


class ByRow(OwnWay):
    """The attention of one pass. `taken` counts the layers that it was asked for and understood."""

    def __init__(self) -> None:
        self.taken = 0
        self._seen: dict[int, tuple[mx.array, SeenKeys]] = {}  # by the id of a mask, which all layers share

    def attend(
        self,
        queries: mx.array,
        keys: mx.array,
        values: mx.array,
        *,
        cache: Any,
        scale: float,
        mask: Any,
        sinks: mx.array | None,
    ) -> mx.array | None:
        """See `OwnWay`."""
        if keys.ndim != 4 or keys.shape[0] != queries.shape[0] or queries.shape[1] % keys.shape[1]:
            return None
        if getattr(cache, "keep", 0):  # a ring that keeps its first tokens is in two orders
            return None
        seen = self._seen_by(queries, keys, cache, mask)
        if seen is None:
            return None
        self.taken += 1
        length = keys.shape[2]
        # What a cache gives is the front of what it holds, and a kernel would have to copy that.
        held = _held(cache, keys, values)
        return row_attention(queries, *held, seen, scale=scale, length=length, sinks=sinks)

    def _seen_by(self, queries: mx.array, keys: mx.array, cache: Any, mask: Any) -> SeenKeys | None:
        (batch, _, count, _), length = queries.shape, keys.shape[2]
        turned = _turned(cache, length) if count == 1 else 0
        if mask is None:
            return everything(batch, count, length, begins=turned)
        if isinstance(mask, str):
            return causal(batch, count, length) if mask == "causal" and count <= length else None
        if not isinstance(mask, mx.array) or mask.dtype != mx.bool_ or turned:
            return None
        if mask.ndim > 2 and any(size != 1 for size in mask.shape[1:-2]):
            return None  # of each head's own
        if id(mask) not in self._seen:
            by_sequence = mask.reshape(-1, *mask.shape[-2:]) if mask.ndim > 1 else mask
            rows = mx.broadcast_to(by_sequence, (batch, count, length)).flatten(0, 1)
            self._seen[id(mask)] = mask, masked(rows)
        return self._seen[id(mask)][1]


def _turned(cache: Any, length: int) -> int:
    """Where the oldest token stands that a pass over one token finds: a full ring is written over from there."""
    ring = getattr(cache, "_cache", cache)
    full = type(ring) is RotatingKVCache and length == ring.max_size
    return int(ring._idx % length) if full else 0


def _held(cache: Any, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
    """The arrays that keys and values are the front of."""
    own = getattr(cache, "_cache", cache)
    if type(own) not in (KVCache, RotatingKVCache) or not isinstance(own.keys, mx.array):
        return keys, values
    longer = [
        (*held.shape[:2], held.shape[3]) == (*given.shape[:2], given.shape[3]) and held.shape[2] >= given.shape[2]
        for held, given in ((own.keys, keys), (own.values, values))
    ]
    return (own.keys, own.values) if all(longer) else (keys, values)


def serves(model: Any) -> bool:
    """Whether a model says by row what it says otherwise: tried once. Some do more with their keys than to attend, or
    attend in a way of their own."""
    key = id(model)
    if key not in _SERVES:
        with trial(model, "by_row"):
            _SERVES[key] = judged(model, _try(model))
        weakref.finalize(model, _SERVES.pop, key, None)
    return _SERVES[key]


def _try(model: Any) -> bool:
    own, others, way = make_prompt_cache(model), make_prompt_cache(model), ByRow()
    expected, found = [], []
    for part in _TEXT:
        # Ordinary passes: what they raise is a fault of the model, which answers would meet too.
        expected.append(_rows(model, part, own))
        mx.eval(expected)
        try:
            with seam_of(model).opened(way):
                found.append(_rows(model, part, others))
            mx.eval(found)
        except Exception:
            # The model's own code, which is not ours, with another attention inside: anything may come.
            logger.info("%s keeps MLX's own attention.", type(model).__name__, exc_info=True)
            return False
    return way.taken > 0 and rows_agree(found, expected)


def _rows(model: Any, token_ids: list[int], caches: list[Any]) -> mx.array:
    """Logits `[n, vocab]` of an ordinary pass, lazily."""
    with in_order(model):
        logits: mx.array = model(mx.array(token_ids)[None], cache=caches)[0]
    go(model, logits)
    return logits
