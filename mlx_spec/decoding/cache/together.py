"""Scoring the tokens of many answers in one forward pass: what each gets has the bits that it gets alone."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx

from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.cache.passes.forward import PassOutput
from mlx_spec.decoding.cache.passes.placement import Placement
from mlx_spec.decoding.cache.passes.ragged import RaggedPart, leave_alone, ragged_passes
from mlx_spec.decoding.cache.passes.ragged_trial import ragged_way


@dataclass(frozen=True, slots=True)
class Part:
    """What is to be scored for one answer: the arguments of `CachedModel.score`."""

    cached: CachedModel
    token_ids: mx.array
    kept: int = 0
    placement: Placement | None = None


def score_together(parts: Sequence[Part]) -> list[mx.array]:
    """Logits `[n, vocab]` (lazy) of each part, as its own `score` gives them, which adds its tokens to its cache.

    Parts of one model are one pass, where there are several and the model was found to take them. One alone is scored
    as ever. No two may be of the same cache.
    """
    logits: list[mx.array | None] = [None] * len(parts)
    alike: dict[tuple[int, bool | None], list[int]] = defaultdict(list)
    for number, part in enumerate(parts):
        alike[id(part.cached.model), part.cached.is_compiled(part.token_ids.shape[0])].append(number)
    for (_, compiled), numbers in alike.items():
        for number, scored in zip(numbers, _scored([parts[number] for number in numbers], compiled), strict=True):
            logits[number] = scored
    return [scored for scored in logits if scored is not None]


def _scored(parts: Sequence[Part], compiled: bool | None) -> list[mx.array]:
    """Those of one model whose own passes have the same bits."""
    model = parts[0].cached.model
    layers = tuple(dict.fromkeys(layer for part in parts for layer in part.cached.listens_to))
    way = ragged_way(model) if len(parts) > 1 and compiled is not None else None
    if way is None or (way == "body" and layers):  # there what is listened to would be called for each answer
        leave_alone(model)
        return [part.cached.score(part.token_ids, kept=part.kept, placement=part.placement) for part in parts]
    begun = [part.cached.begin(part.token_ids, part.kept, part.placement) for part in parts]
    ragged = [
        RaggedPart(one.token_ids, part.cached.caches, one.placement) for part, one in zip(parts, begun, strict=True)
    ]
    scored = ragged_passes(model).run(ragged, way, layers, in_slots=bool(compiled))
    each = zip(parts, begun, scored, strict=True)
    return [part.cached.end(one, _heard(output, layers, part.cached.listens_to)) for part, one, output in each]


def _heard(output: PassOutput, layers: tuple[int, ...], wanted: tuple[int, ...]) -> PassOutput:
    """What one answer's listeners hear of the layers that some listened to."""
    if output.features is None or wanted == layers:
        return output
    if not wanted:
        return PassOutput(output.logits)
    every = mx.split(output.features, len(layers), axis=-1)
    return PassOutput(output.logits, mx.concatenate([every[layers.index(layer)] for layer in wanted], axis=-1))
