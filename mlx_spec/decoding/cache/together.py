"""Tokens of many answers in one forward pass, to be scored or only read: what each gets has the bits it gets alone."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mlx.core as mx

from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.cache.passes.forward import PassOutput
from mlx_spec.decoding.cache.passes.placement import Placement
from mlx_spec.decoding.cache.passes.ragged import RaggedHow, RaggedPart, leave_alone, ragged_passes
from mlx_spec.decoding.cache.passes.ragged_trial import ragged_way
from mlx_spec.machine.kernels.products.layers import strictly


@dataclass(frozen=True, slots=True)
class Part:
    """What is to be scored for one answer: the arguments of `CachedModel.score`."""

    cached: CachedModel
    token_ids: mx.array
    kept: int = 0
    placement: Placement | None = None
    again: bool = True

    @property
    def rows(self) -> int:
        """Of the pass, that it takes: with what waits to be fed again."""
        return self.cached.rows_of(self.token_ids.shape[0])


def score_together(parts: Sequence[Part]) -> list[mx.array]:
    """Logits `[n, vocab]` (lazy) of each part, as its own `score` gives them, which adds its tokens to its cache.

    Parts of one model are one pass, where there are several and the model was found to take them, or several passes
    where one may not be as wide as that. One alone is scored as ever. No two may be of the same cache.
    """
    logits: list[mx.array | None] = [None] * len(parts)
    alike: dict[tuple[int, bool | None, int | None, bool], list[int]] = defaultdict(list)
    for number, part in enumerate(parts):
        compiled = part.cached.is_compiled(part.token_ids.shape[0])
        alike[id(part.cached.model), compiled, part.cached.widest, part.cached.by_row].append(number)
    passes: dict[int, list[tuple[bool | None, list[int]]]] = defaultdict(list)
    for (model, compiled, widest, _), every in alike.items():
        for numbers in in_passes([parts[number].rows for number in every], widest):
            passes[model].append((compiled, [every[number] for number in numbers]))
    for of_model in passes.values():
        # Who shares a pass now and not the next time would be copied together and apart again.
        shares = sum(len(numbers) > 1 for _, numbers in of_model) == 1
        if not shares:
            leave_alone(parts[of_model[0][1][0]].cached.model)
        for compiled, numbers in of_model:
            for number, scored in zip(numbers, _scored([parts[at] for at in numbers], compiled, shares), strict=True):
                logits[number] = scored
    return [scored for scored in logits if scored is not None]


def read_together(
    parts: Sequence[Part], meanwhile: Callable[[], None], last: Sequence[bool] = ()
) -> list[mx.array | None]:
    """Read what each part has of a prompt, as its own `CachedModel.prefill` does, and wait for all. `meanwhile` is what
    the host may do before it waits. All is kept, and nothing scored but the `last` token of those where that is wanted:
    its logits `[1, vocab]`. No two may be of the same cache.

    Parts of one model share a pass as those of `score_together` do.
    """
    said: list[mx.array | None] = [None] * len(parts)
    reads = [Part(part.cached, part.token_ids, kept=part.token_ids.shape[0], again=False) for part in parts]
    alike: dict[tuple[int, int | None], list[int]] = defaultdict(list)
    for number, part in enumerate(reads):
        alike[id(part.cached.model), part.cached.widest].append(number)
    for (_, widest), every in alike.items():
        for chosen in in_passes([reads[number].rows for number in every], widest):
            numbers = [every[at] for at in chosen]
            for number, logits in zip(numbers, _scored([reads[at] for at in numbers], False, False), strict=True):
                said[number] = logits[-1:] if last and last[number] else None
    read = [[part.cached.read for part in parts], [logits for logits in said if logits is not None]]
    mx.async_eval(read)  # type: ignore[no-untyped-call]
    meanwhile()
    mx.eval(read)
    return said


def in_passes(rows: Sequence[int], widest: int | None) -> list[list[int]]:
    """Which parts, of so many `rows` each, share a pass of at most `widest` rows (None: any number). The widest parts
    come first, each into the first pass that has room: few passes, if not always the fewest."""
    if widest is None:
        return [list(range(len(rows)))]
    passes: list[list[int]] = []
    left: list[int] = []
    for number in sorted(range(len(rows)), key=lambda number: -rows[number]):
        at = next((at for at, room in enumerate(left) if rows[number] <= room), len(passes))
        if at == len(passes):
            passes.append([])
            left.append(widest)
        passes[at].append(number)
        left[at] -= rows[number]
    return [sorted(numbers) for numbers in passes]


def _scored(parts: Sequence[Part], compiled: bool | None, shares: bool) -> list[mx.array]:
    """Those of one model whose own passes have the same bits; they may keep their keys and values together where it
    `shares`."""
    model = parts[0].cached.model
    layers = tuple(dict.fromkeys(layer for part in parts for layer in part.cached.listens_to))
    way = ragged_way(model) if len(parts) > 1 and compiled is not None else None
    if way is None or (way == "body" and layers):  # there what is listened to would be called for each answer
        return [
            part.cached.score(part.token_ids, kept=part.kept, placement=part.placement, again=part.again)
            for part in parts
        ]
    begun = [part.cached.begin(part.token_ids, part.kept, part.placement) for part in parts]
    ragged = [
        RaggedPart(one.token_ids, part.cached.caches, one.placement) for part, one in zip(parts, begun, strict=True)
    ]
    rows = sum(one.token_ids.shape[0] for one in begun)
    attends = parts[0].cached.attends(again=parts[0].again)  # as alone
    how = RaggedHow(in_slots=bool(compiled), shares=shares, attends=attends)
    with strictly(model, parts[0].cached.strict_rows(rows)):
        scored = ragged_passes(model).run(ragged, way, layers, **how)
    each = zip(parts, begun, scored, strict=True)
    return [part.cached.end(one, _heard(output, layers, part.cached.listens_to)) for part, one, output in each]


def _heard(output: PassOutput, layers: tuple[int, ...], wanted: tuple[int, ...]) -> PassOutput:
    """What one answer's listeners hear of the layers that some listened to."""
    if output.features is None or wanted == layers:
        return output
    if not wanted:
        return PassOutput(output.logits, built_anew=output.built_anew)
    every = mx.split(output.features, len(layers), axis=-1)
    features = mx.concatenate([every[layers.index(layer)] for layer in wanted], axis=-1)
    return PassOutput(output.logits, features, output.built_anew)
