"""How far to draft for all answers together: held against every choice there is."""

from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mlx_spec.lookahead.costs import Calibration, VerifyTimes
from mlx_spec.lookahead.lengths import DraftCost, Lengths, Prospect, choose_lengths, survival
from mlx_spec.lookahead.odds import Acceptance

# The starter target's passes by rows, with OpenBLAS on two threads, context 60.
STARTER = {1: 40.0, 2: 50.0, 4: 64.0, 8: 73.0, 12: 107.0, 16: 76.0, 24: 118.0, 32: 118.0}


def starter_ms(rows: int) -> float:
    """The cheapest measured pass of at least so many rows: a pass may be padded. Beyond them in a straight line."""
    return min((STARTER[width] for width in STARTER if width >= rows), default=118.0 + 3.7 * (rows - 32))


def what_comes_of(
    lengths: Sequence[int], prospects: Sequence[Prospect], target: Sequence[float], costs: dict[str, DraftCost]
) -> float:
    """Tokens a millisecond, counted level by level and pass by pass."""
    tokens = len(lengths) + sum(sum(one.chances[:length]) for one, length in zip(prospects, lengths, strict=True))
    milliseconds = target[len(lengths) + sum(lengths)]
    for drafter, cost in costs.items():
        own = [length for one, length in zip(prospects, lengths, strict=True) if one.drafter == drafter]
        level = 1
        while any(length >= level for length in own):
            drafting = sum(length >= level for length in own)
            milliseconds += (cost.once_ms if level == 1 else 0.0) + cost.level_ms + cost.row_ms * drafting
            level += 1
    return tokens / milliseconds


@st.composite
def steps(draw: st.DrawFn) -> tuple[list[Prospect], list[float], dict[str, DraftCost], int]:
    """Up to four answers with up to three places each (five for two), up to three drafters, any costs of passes."""
    answers = draw(st.integers(1, 4))
    names = ["eagle", "model", "ngram"][: draw(st.integers(1, 3))]
    milliseconds = st.sampled_from([0.0, 0.0, 0.5, 2.0, 9.0, 30.0])
    costs = {name: DraftCost(draw(milliseconds), draw(milliseconds), draw(milliseconds)) for name in names[:2]}
    prospects = []
    for _ in range(answers):
        chance, chances = 1.0, []
        for _ in range(draw(st.integers(0, 5 if answers < 3 else 3))):
            chance *= draw(st.sampled_from([1.0, 0.95, 0.7, 0.5, 0.2, 0.0]))
            chances.append(chance)
        prospects.append(Prospect(draw(st.sampled_from(names)), chances))
    most = answers + sum(len(one.chances) for one in prospects)
    target = [0.0, *draw(st.lists(st.floats(1.0, 120.0), min_size=most, max_size=most))]
    if draw(st.booleans()):
        target.sort()
    return prospects, target, costs, draw(st.integers(0, most))


@hypothesis_settings(max_examples=250, deadline=None)
@given(steps())
def test_nothing_brings_more_tokens_a_millisecond(
    step: tuple[list[Prospect], list[float], dict[str, DraftCost], int],
) -> None:
    prospects, target, costs, most = step
    chosen = choose_lengths(prospects, target.__getitem__, costs, most)
    every = product(*(range(len(one.chances) + 1) for one in prospects))
    best = max(what_comes_of(one, prospects, target, costs) for one in every if sum(one) <= most)
    assert chosen.rate == pytest.approx(best, rel=1e-9)
    assert sum(chosen.lengths) <= most
    assert what_comes_of(chosen.lengths, prospects, target, costs) == pytest.approx(best, rel=1e-9)
    assert chosen.plain_rate == pytest.approx(len(prospects) / target[len(prospects)])


def alike(count: int, chance: float, places: int = 4) -> list[Prospect]:
    return [Prospect("model", [chance**place for place in range(1, places + 1)])] * count


def chosen_at(count: int, chance: float = 0.5, level_ms: float = 6.0) -> Lengths:
    return choose_lengths(alike(count, chance), starter_ms, {"model": DraftCost(level_ms)}, 100)


def test_on_the_starters_curve_drafts_fill_the_sixteenth_row() -> None:
    """Nine rows take what sixteen take: eight answers and eight drafts; at twelve answers four; at sixteen the rows are
    full without drafts."""
    assert chosen_at(8).rows == 16
    assert chosen_at(12).rows == 16
    assert chosen_at(16).lengths == (0,) * 16
    assert chosen_at(1).rate > chosen_at(1).plain_rate * 1.05
    assert chosen_at(8, 0.1, 30.0).lengths == (0,) * 8  # and where drafts seldom stand, none are made


@pytest.mark.parametrize("count", [1, 2, 4, 8, 16])
def test_it_is_never_behind_a_fixed_length(count: int) -> None:
    for chance in (0.2, 0.5, 0.8):
        for level_ms in (0.5, 6.0, 20.0):
            costs = {"model": DraftCost(level_ms)}
            target = [0.0, *map(starter_ms, range(1, 33))]
            fixed = [
                what_comes_of([length] * count, alike(count, chance), target, costs)
                for length in range(5)
                if count * (1 + length) <= 32
            ]
            assert choose_lengths(alike(count, chance), starter_ms, costs, 32 - count).rate >= max(fixed) * (1 - 1e-12)


def test_who_is_likelier_to_be_right_gets_the_rows() -> None:
    prospects = [Prospect("model", [0.9, 0.8, 0.7]), Prospect("model", [0.3, 0.1, 0.0]), Prospect("ngram", [])]
    flat = choose_lengths(prospects, lambda rows: 50.0 if rows <= 5 else 500.0, {}, 100)
    assert flat.lengths == (2, 0, 0)
    assert flat.tokens == pytest.approx(3 + 1.7)
    assert flat.milliseconds == 50.0


def test_a_dear_row_gives_way_to_a_cheap_one_that_is_less_sure() -> None:
    prospects = [Prospect("model", [0.55]), Prospect("ngram", [0.5])]
    costs = {"model": DraftCost(row_ms=30.0)}
    assert choose_lengths(prospects, lambda rows: 10.0, costs, 100).lengths == (0, 1)


def test_a_level_costs_once_for_all_who_go_so_deep() -> None:
    """Two levels for four answers: two passes of the draft, of four rows each."""
    cost = {"model": DraftCost(level_ms=8.0, row_ms=0.25, once_ms=1.0)}
    chosen = choose_lengths(alike(4, 0.8, 2), lambda rows: 40.0 + rows, cost, 100)
    assert chosen.lengths == (2,) * 4
    assert chosen.milliseconds == (40.0 + 12) + 1.0 + 2 * 8.0 + 8 * 0.25
    # One who would go deeper by itself does not have a level made for it alone, and is in it where others go along.
    deep, shallow = Prospect("model", [0.9, 0.8]), Prospect("model", [0.6])
    assert choose_lengths([deep, *[shallow] * 3], lambda rows: 40.0, cost, 100).lengths == (1, 1, 1, 1)
    assert choose_lengths([deep] * 4, lambda rows: 40.0, cost, 100).lengths == (2, 2, 2, 2)


def test_where_nothing_is_gained_nothing_is_drafted() -> None:
    """Twice the tokens in twice the time are no gain."""
    assert choose_lengths([Prospect("model", [1.0])], lambda rows: 10.0 * rows, {}, 100).lengths == (0,)
    assert choose_lengths(alike(3, 0.9), lambda rows: 1.0, {}, 0).lengths == (0, 0, 0)
    nobody = choose_lengths([], lambda rows: 1.0, {}, 100)
    assert (nobody.lengths, nobody.rate) == ((), 0.0)


def test_it_takes_what_the_controllers_measure() -> None:
    times = VerifyTimes(Calibration(tuple(map(starter_ms, range(1, 17)))))
    odds = Acceptance()
    for _ in range(40):
        odds.observe(4, 4, 3, 2)
    chances = survival(odds.rates(4))
    assert chances == sorted(chances, reverse=True)
    assert chances[1] > 0.8 > 0.4 > chances[2]
    chosen = choose_lengths([Prospect("model", chances)] * 4, times.at, {"model": DraftCost(2.0)}, 12)
    assert chosen.lengths == (2, 2, 2, 2) or chosen.rows == 16
    assert chosen.rate > 1.5 * chosen.plain_rate


@pytest.mark.parametrize("chances", [[0.5, 0.6], [1.1], [-0.1], [0.5, float("nan")]])
def test_chances_that_cannot_be_are_told(chances: list[float]) -> None:
    with pytest.raises(ValueError, match=f"Place {len(chances)} of answer 1"):
        choose_lengths([Prospect("model", [0.5]), Prospect("model", chances)], float, {}, 9)
