"""Chains and trees from rows that are there all at once: what a drafter guesses for a place does not hang on what it
chose for the places before."""

from dataclasses import replace

import mlx.core as mx

from mlx_spec.acceptance.tree import Shape
from mlx_spec.decoding.cache.passes.placement import Placement
from mlx_spec.decoding.drafters.base import Draft, DrawSettings
from mlx_spec.decoding.drafters.confidence import Confidence
from mlx_spec.decoding.drafters.growth import grow
from mlx_spec.sampling.distribution import scores


def draft_chain(logits: mx.array, draw: DrawSettings, confidence: Confidence, position: int, round_index: int) -> Draft:
    """A chain from logits `[gamma, vocab]`, the first for absolute `position`, ended where it grows unsure."""
    rows: list[mx.array] = []
    drawn: list[mx.array] = []
    for place in range(logits.shape[0]):
        if forced := draw.forced_behind(drawn, 1):
            rows.append(draw.point_mass(forced[0]))
            drawn.append(mx.array([forced[0]], dtype=mx.int32))
            continue
        drafted = mx.concatenate(drawn) if drawn else None
        rows.append(scores(draw.penalties.apply(logits[place][None], drafted), draw.params)[0])
        drawn.append(draw.choose(rows[-1], position + place, round_index)[None])
    draft = Draft(mx.concatenate(drawn), mx.stack(rows), greedy=draw.params.greedy, passes=1)
    return draft.first(confidence.length(rows))


def draft_tree(logits: mx.array, shape: Shape, draw: DrawSettings, position: int, round_index: int) -> Draft:
    """A tree of `shape`, as deep as there are rows of logits `[depth, vocab]`: all nodes of a level have one row."""
    shape = replace(shape, branching=shape.branching[: logits.shape[0]])
    drafted: list[mx.array] = []

    def expand(token_ids: mx.array, parents: mx.array, placement: Placement) -> mx.array:
        drafted.append(token_ids)
        rows = mx.broadcast_to(logits[len(drafted)], (token_ids.shape[0], logits.shape[-1]))
        return scores(draw.penalties.apply(rows, mx.concatenate(drafted), placement.seen), draw.params)

    root = scores(draw.penalties.apply(logits[:1]), draw.params)[0]
    return replace(grow(shape, draw, position, round_index, root, expand).draft, passes=1)
