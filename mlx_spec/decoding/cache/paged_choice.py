"""Whether an answer's passes take less time over blocks than over caches of its own. That depends on machine, model and
context, so it is measured once, and kept.

The two ways round differently. So the way is chosen for an answer when it begins, by the length of its prompt, and not
for a pass: what is drafted, how many rows there are and who else is answered decide nothing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import mlx.core as mx
from mlx_lm.models.cache import KVCache, RotatingKVCache, make_prompt_cache

from mlx_spec.decoding.cache.cached_model import cached_model
from mlx_spec.decoding.cache.paged.arrays import LayerBlocks
from mlx_spec.decoding.cache.paged.table import BlockTable
from mlx_spec.decoding.cache.pass_choice import Ratio, between, ratios_of
from mlx_spec.decoding.cache.passes.forward import run
from mlx_spec.decoding.cache.passes.paged import block_caches, num_block_layers, run_paged
from mlx_spec.decoding.cache.passes.paged_trial import NewBlocks, blocks_agree
from mlx_spec.decoding.cache.passes.slots import made_up_tokens
from mlx_spec.decoding.cache.rollback import Rollback, leaves

_CONTEXTS: Final = (500, 3000)
_ROWS: Final = (1, 6)
_REPEATS: Final = 2
_FASTER_BY: Final = 0.05
"""Less could be chance."""


@dataclass(frozen=True, slots=True)
class PagedChoice:
    """Rows, tokens of context, and the time of a pass over blocks over that of one over the answer's own caches, in any
    order; where there are none, answers have their own caches."""

    ratios: tuple[Ratio, ...] = ()

    def pays(self, context: int) -> bool:
        """Whether blocks are clearly faster behind a prompt of `context` tokens, for the number of rows that gains
        least by them; in a straight line between two contexts that were measured."""
        worst: dict[int, float] = {}
        for _, tokens, ratio in self.ratios:
            worst[tokens] = max(ratio, worst.get(tokens, ratio))
        return bool(worst) and between(sorted(worst.items()), context) <= 1 - _FASTER_BY

    @property
    def ever_pays(self) -> bool:
        """Whether they are behind any."""
        return any(self.pays(context) for _, context, _ in self.ratios)

    def kept(self) -> list[list[float]]:
        """For a file: `paged_choice_of` reads it."""
        return [list(ratio) for ratio in self.ratios]


def paged_choice_of(values: object) -> PagedChoice:
    """From what a file holds; no ratios where that makes no sense."""

    return PagedChoice(ratios_of(values))


def measure_paged(
    model: Any,
    name: str,
    block_tokens: int,
    tell: Callable[[str, float], None] = lambda stage, fraction: None,
) -> PagedChoice:
    """Time passes both ways in turns, over contexts of made-up keys and values. No ratios where the model does not go
    over blocks. A context where blocks do not pay for one number of rows is not measured for others, as it is settled
    then. Raises UnsupportedModelError where a model can only be decoded plainly."""
    if not blocks_agree(model):
        return PagedChoice()
    found: list[Ratio] = []
    for at, context in enumerate(_CONTEXTS):
        ways = (_own(model, name, context), _over_blocks(model, name, context, block_tokens))
        for number, rows in enumerate(_ROWS):
            tell("comparing blocks with caches", (at + number / len(_ROWS)) / len(_CONTEXTS))
            own, over_blocks = _timed(ways, rows)
            found.append((rows, context, min(over_blocks) / min(own)))
            if not PagedChoice(tuple(found)).pays(context):
                break
    return PagedChoice(tuple(found))


Step = Callable[[int], mx.array]
"""Scores so many rows and forgets them; the logits are computed."""


def _timed(ways: tuple[Step, Step], rows: int) -> tuple[list[float], list[float]]:
    """Seconds of passes in each way, in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for at in range(_REPEATS + 1):
        for number in (0, 1) if at % 2 else (1, 0):
            started = time.perf_counter()
            mx.eval(ways[number](rows))
            if at:  # in the first, graphs and kernels are built
                times[number].append(time.perf_counter() - started)
    return times


def _own(model: Any, name: str, context: int) -> Step:
    """As answers make their passes otherwise: compiled ones where those were chosen."""
    cached = cached_model(model, name, speculative=True)
    if not cached.pretend(context, compiled=True):
        caches = _pretended(model, context)
        return _step(caches, name, lambda token_ids: run(model, token_ids, caches, None).logits)

    def step(rows: int) -> mx.array:
        logits = cached.score(mx.full((rows,), 1, dtype=mx.int32))
        mx.eval(logits)
        cached.forget(rows)
        return logits

    return step


def _over_blocks(model: Any, name: str, context: int, block_tokens: int) -> Step:
    own = _pretended(model, context)
    num_blocks = -(-(context + max(_ROWS)) // block_tokens)
    layers = [LayerBlocks(num_blocks, block_tokens) for _ in range(num_block_layers(own))]
    caches = block_caches(own, BlockTable(NewBlocks(range(num_blocks)), layers, block_tokens), layers)
    mx.eval([layer.arrays for layer in layers])
    return _step(caches, name, lambda token_ids: run_paged(model, token_ids, caches).logits)


def _step(caches: list[Any], name: str, score: Callable[[mx.array], mx.array]) -> Step:
    rollback = Rollback(caches, name)

    def step(rows: int) -> mx.array:
        token_ids = mx.full((rows,), 1, dtype=mx.int32)
        rollback.begin(token_ids, 0)
        logits = score(token_ids)
        mx.eval(logits)
        rollback.forget(rows)
        return logits

    return step


def _pretended(model: Any, context: int) -> list[Any]:
    """A model's caches behind `context` tokens that were never read; states are those behind one token."""
    caches: list[Any] = make_prompt_cache(model)
    mx.eval(run(model, mx.array([0]), caches, None).logits)
    for number, cache in enumerate(caches):
        for leaf in leaves([cache]):
            if type(leaf) in (KVCache, RotatingKVCache):
                _fill(leaf, number, context)
    return caches


def _fill(cache: Any, number: int, context: int) -> None:
    """With what `CachedModel.pretend` would fill it."""
    rotates = type(cache) is RotatingKVCache
    size = min(context, cache.max_size) if rotates else -(-context // cache.step) * cache.step
    for name in ("keys", "values"):
        array = getattr(cache, name)
        shape = (*array.shape[:2], size, array.shape[3])
        made_up = made_up_tokens(shape, 2 * number + (name == "values"))
        setattr(cache, name, made_up.astype(array.dtype))
    cache.offset = context
    if rotates:
        cache._idx = size
