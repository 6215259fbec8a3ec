"""Passes over the rows of many answers that Python builds once: those whose keys and values all lie in the same arrays.

A pass over eight answers takes Python a third as long to build as it takes to compute. While the same ones go on with
as many rows each, it is the same graph again with other arrays in it, as with one answer alone (see `compiled`), which
`mx.compile` replays. What has come a few times is worth a graph, and few graphs are kept: a new one every 64 tokens.
"""

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, Final

import mlx.core as mx

from mlx_spec.decoding.cache.passes.apart import Rows
from mlx_spec.decoding.cache.passes.forward import PassOutput
from mlx_spec.decoding.cache.passes.shared_slots import Layout, Seating, SharedLayer, repeated

_TIMES: Final = 3
_ROWS: Final = 4
"""Where answers have different numbers of rows there are a multiple of so many, and so fewer graphs: the last row is
there several times, and writes the same every time."""
_MOST_GRAPHS: Final = 16
_MOST_COUNTED: Final = 256

Build = Callable[[mx.array, Sequence[Sequence[Any]], Rows], PassOutput]
"""Makes a pass over `token_ids` `[n]` in the ordinary way: with what the model sees of the caches of each part of the
rows, and how these are divided."""
_Graph = Callable[..., tuple[mx.array, ...]]

logger = logging.getLogger(__name__)


class SharedCompiled:
    """The graphs of one model."""

    def __init__(self) -> None:
        self._is_off = False
        self._graphs: OrderedDict[Hashable, _Graph] = OrderedDict()
        self._met: Counter[Hashable] = Counter()

    def run(self, token_ids: mx.array, layers: Sequence[Any], build: Build, kind: Hashable) -> PassOutput | None:
        """A pass over chains, `token_ids` `[n]` in all, lazily; `layers` then hold what it wrote. Those of one `kind`
        are made by the same `build`. None, and nothing was done, where it has to be built in the ordinary way."""
        if self._is_off or not isinstance(layers[0], SharedLayer):
            return None
        count, layout = token_ids.shape[0], layers[0].layout
        rows = count if layout.is_even else -(-count // _ROWS) * _ROWS
        facts = layout.size, layout.widest, layout.length, layout.is_even
        key = kind, facts, layers[0].keys.shape, rows
        if not self._is_worth(key):
            return None
        is_new = key not in self._graphs
        if is_new:
            while len(self._graphs) >= _MOST_GRAPHS:
                self._graphs.popitem(last=False)
            self._graphs[key] = mx.compile(_traced(layout, build))
        self._graphs.move_to_end(key)
        token_ids, layout = repeated(token_ids, rows), layout.padded(rows)
        arrays = [array for layer in layers for array in (layer.keys, layer.values)]
        try:
            results = self._graphs[key](token_ids, *layout.arrays, *arrays)
        except Exception:
            # Tracing runs the model's own code, which is not ours, over stand-ins: anything may come, as in `compiled`.
            logger.warning("Passes over the rows of many answers are built in the ordinary way.", exc_info=True)
            self._is_off = True
            self._graphs.clear()
            return None
        given, written = results[: -len(arrays)], results[-len(arrays) :]
        for number, layer in enumerate(layers):
            layer.keys, layer.values = written[2 * number], written[2 * number + 1]
        logits, *features = [one if rows == count else one[:count] for one in given]
        return PassOutput(logits, features[0] if features else None, built_anew=is_new)

    def _is_worth(self, key: Hashable) -> bool:
        """Whether passes like this have come often enough."""
        if key in self._graphs:
            return True
        if len(self._met) >= _MOST_COUNTED:
            self._met.clear()
        self._met[key] += 1
        return self._met[key] >= _TIMES


def _traced(layout: Layout, build: Build) -> _Graph:
    """What is traced of a pass with such a layout. It holds no array."""
    bare = replace(layout, arrays=())

    def run(token_ids: mx.array, *arrays: mx.array) -> tuple[mx.array, ...]:
        own, held = arrays[: Layout.COUNT], arrays[Layout.COUNT :]
        seating = Seating(replace(bare, arrays=own))
        layers = [SharedLayer(held[at], held[at + 1], seating) for at in range(0, len(held), 2)]
        scored = build(token_ids, [layers], Rows([token_ids.shape[0]], seating.layout.written))
        given = (scored.logits,) if scored.features is None else (scored.logits, scored.features)
        return (*given, *(array for layer in layers for array in (layer.keys, layer.values)))

    return run
