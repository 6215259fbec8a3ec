"""Layers are given out so that the fullest rank is as little full as can be."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlx_spec.models.splitting.balance import balanced


def fullest(counts: tuple[int, ...], layers: list[int], first: int, last: int, room: list[float]) -> float:
    """By adding up what each rank holds."""
    held, at = [0.0] * len(counts), 0
    for rank in reversed(range(len(counts))):
        held[rank] = sum(layers[at : at + counts[rank]]) + (first if at == 0 else 0) + (last if rank == 0 else 0)
        at += counts[rank]
    return max(one / has for one, has in zip(held, room, strict=True))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 50), min_size=3, max_size=8),
    st.integers(0, 100),
    st.integers(0, 100),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
)
def test_no_other_division_is_better(layers: list[int], first: int, last: int, room: list[int]) -> None:
    counts = balanced(layers, first, last, [float(one) for one in room])
    assert sum(counts) == len(layers)
    assert min(counts) >= 1
    every = []
    for cuts in combinations(range(1, len(layers)), len(room) - 1):
        ends = [0, *cuts, len(layers)]
        every.append(tuple(end - begin for begin, end in pairwise(ends)))
    rooms = [float(one) for one in room]
    best = min(fullest(other, layers, first, last, rooms) for other in every)
    assert fullest(counts, layers, first, last, rooms) == pytest.approx(best)


def test_a_large_head_leaves_rank_0_fewer_layers() -> None:
    assert balanced([10] * 8, 0, 40, [1.0, 1.0]) == (2, 6)
    assert balanced([10] * 8, 0, 0, [3.0, 1.0]) == (6, 2)


def test_what_is_not_allowed_is_passed_over_unless_nothing_is() -> None:
    room = [9.0, 1.0]
    assert balanced([10] * 8, 0, 0, room) == (7, 1)
    assert balanced([10] * 8, 0, 0, room, lambda begin, end: end - begin >= 3) == (5, 3)
    assert balanced([10] * 8, 0, 0, room, lambda begin, end: False) == (7, 1)


def test_more_ranks_than_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="2 layers are fewer than 3 ranks"):
        balanced([1, 1], 0, 0, [1.0] * 3)
