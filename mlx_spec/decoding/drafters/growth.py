"""Growing a draft tree level by level: every model that drafts needs it, whatever it computes for a level.

A level is one pass of the drafter over the nodes that get children. All of it is one lazy graph for a tree of a fixed
shape; a tree grown by probability takes one host read, for which nodes it kept.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import mlx.core as mx
import numpy as np

from mlx_spec.acceptance.tree import Shape, full_tree, tree_of
from mlx_spec.decoding.alternatives import favourites
from mlx_spec.decoding.cache.passes.placement import Placement
from mlx_spec.decoding.drafters.base import Draft, DrawSettings


class Expand(Protocol):
    """A drafter's pass over one level."""

    def __call__(self, token_ids: mx.array, parents: mx.array, placement: Placement) -> mx.array:
        """Warped scores `[m, vocab]` of what follows each of `token_ids` `[m]`.

        `parents` `[m]` says behind which earlier token each stands, counted over all that were expanded before it; -1
        is the root. `placement` has depth 0 for the root's children.
        """
        ...


@dataclass(frozen=True, slots=True)
class Grown:
    """A tree, and where its drafter stored each node: `slots[i]` counts the expanded tokens, None for a leaf."""

    draft: Draft
    slots: tuple[int | None, ...]

    def kept(self, path: Sequence[int]) -> list[int]:
        """The slots of the path's nodes, as far as they were expanded."""
        slots = [self.slots[node - 1] for node in path]
        return [slot for slot in slots if slot is not None]


@dataclass(frozen=True, slots=True)
class Level:
    """What `Expand` is asked."""

    token_ids: mx.array
    parents: mx.array
    placement: Placement


Growth = Generator[Level, mx.array, Grown]
"""Yields each level that is to be expanded, is sent its scores, and returns the tree."""


def grow(shape: Shape, draw: DrawSettings, position: int, round_index: int, root: mx.array, expand: Expand) -> Grown:
    """A tree of `shape` below the root's scores `[vocab]`; its first level has absolute `position`."""
    growing = growth(shape, draw, position, round_index, root)
    try:
        level = next(growing)
        while True:
            level = growing.send(expand(level.token_ids, level.parents, level.placement))
    except StopIteration as end:
        return cast(Grown, end.value)


def growth(shape: Shape, draw: DrawSettings, position: int, round_index: int, root: mx.array) -> Growth:
    """`grow` level by level, for whoever has to wait for a level's scores."""
    grown = _grow_full if shape.nodes is None else _grow_best
    return grown(shape, draw, position, round_index, root)


def _grow_full(shape: Shape, draw: DrawSettings, position: int, round_index: int, root: mx.array) -> Growth:
    """Every node gets its children. Which nodes there are hangs on nothing that is drawn, as `token` needs it."""
    tree = full_tree(shape.branching)
    rows, levels, scored = root[None], [], []
    begin = 0  # of the newest level among the drafted
    for depth, children in enumerate(shape.branching):
        best = favourites(draw.noisy(rows, position + depth, round_index), children)
        levels.append(best.reshape(-1))
        scored.append(mx.repeat(rows, children, axis=0))
        if depth + 1 < shape.depth:
            end = begin + levels[-1].shape[0]
            depths = tree.depth_row[1 : end + 1] - 1
            placement = Placement(depths[begin:], depths, tree.seen[begin + 1 : end + 1, 1 : end + 1])
            rows = yield Level(levels[-1], tree.parent_row[begin:end] - 1, placement)
            begin = end
    draft = Draft(
        mx.concatenate(levels),
        mx.concatenate(scored),
        greedy=draw.params.greedy,
        passes=shape.depth,
        tree=tree,
    )
    return Grown(draft, tuple(i if i < begin else None for i in range(tree.size)))


def _grow_best(shape: Shape, draw: DrawSettings, position: int, round_index: int, root: mx.array) -> Growth:
    """Li et al. 2024, EAGLE-2 (arXiv 2406.16858), section 4: the likeliest candidates of a level get children, and of
    all candidates the likeliest stay, by the product of probabilities along their path.

    Under `coupled` a node is as likely as the softmax of its scores with the noise says: that is how sure the draft is,
    knowing the noise. Under other rules the children are the likeliest tokens, not drawn, so q is a point mass.
    """
    assert shape.nodes is not None
    drawn = draw.rule == "coupled"
    rows, sure = [root[None]], mx.zeros((1,))
    expanded = mx.array([-1])  # the candidates that the newest rows come after
    seen, depths = mx.zeros((1, 0), dtype=mx.bool_), mx.zeros((0,), dtype=mx.int32)
    found: list[_Candidates] = []
    storage: list[mx.array] = []
    count = 0
    for depth, children in enumerate(shape.branching):
        newest, stored = rows[-1], depths.shape[0]
        judged = draw.noisy(newest, position + depth, round_index) if drawn else newest
        best = favourites(judged, children)
        each = mx.take_along_axis(judged, best, axis=-1) - mx.logsumexp(judged, axis=-1, keepdims=True)
        token_ids, likely = best.reshape(-1), (sure[:, None] + each).reshape(-1)
        behind = mx.repeat(mx.arange(newest.shape[0]), children)
        # The root's row is the first, those of the expanded tokens follow in the order they were stored.
        found.append(_Candidates(token_ids, likely, expanded[behind], behind + (stored - newest.shape[0] + 1)))
        if depth + 1 == shape.depth:
            break
        kept = mx.argsort(-likely)[: shape.branching[depth + 1]]
        width = kept.shape[0]
        parents = found[-1].rows[kept] - 1
        depths = mx.concatenate([depths, mx.full((width,), depth, dtype=mx.int32)])
        seen = mx.concatenate([seen[behind[kept]], mx.eye(width, dtype=mx.bool_)], axis=-1)
        expanded, sure = kept + count, likely[kept]
        storage.append(expanded)
        count += token_ids.shape[0]
        rows.append((yield Level(token_ids[kept], parents, Placement(depths[stored:], depths, seen))))
    return _best_of(shape, found, mx.concatenate(rows), storage, greedy=not drawn or draw.params.greedy)


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Children of a level, each `[n]`: tokens, logarithms of their paths' probabilities, the candidates and the rows
    that they come after."""

    token_ids: mx.array
    likely: mx.array
    parents: mx.array
    rows: mx.array


def _best_of(shape: Shape, found: list[_Candidates], rows: mx.array, storage: list[mx.array], *, greedy: bool) -> Grown:
    """The likeliest of the candidates, which are read by the host."""
    token_ids = mx.concatenate([level.token_ids for level in found])
    likely = mx.concatenate([level.likely for level in found])
    parents = mx.concatenate([level.parents for level in found])
    after = mx.concatenate([level.rows for level in found])
    stored = mx.concatenate([mx.zeros((0,), dtype=mx.int32), *storage])
    mx.eval(token_ids, likely, parents, stored)
    # A child is never likelier than its parent; where it is as likely the parent stands before it, and the sort is
    # stable.
    chosen = sorted(np.argsort(-np.asarray(likely), kind="stable")[: shape.nodes].tolist())
    places = {candidate: node for node, candidate in enumerate(chosen, 1)}
    above = cast(list[int], parents.tolist())
    tree = tree_of(tuple(places[above[candidate]] if above[candidate] >= 0 else 0 for candidate in chosen))
    slots = {candidate: slot for slot, candidate in enumerate(cast(list[int], stored.tolist()))}
    order = mx.array(chosen, dtype=mx.int32)
    draft = Draft(token_ids[order], rows[after[order]], greedy=greedy, passes=shape.depth, tree=tree)
    return Grown(draft, tuple(slots.get(candidate) for candidate in chosen))
