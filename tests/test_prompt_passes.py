"""Where prompts are read in passes: the same places for who plans and who reads, hot and cold."""

from itertools import pairwise

import pytest

from mlx_spec.batching.budget import chunk_end, usable_prefix
from mlx_spec.decoding.cache.chunks import prompt_passes, turns_of
from mlx_spec.prompt_passes import PromptPasses

PASSES = PromptPasses(64, ((192, 32), (1024, 16)), 1024)
TURNS = [(), (31,), (64,), (24, 150, 200), (31, 1030, 1047, 1090, 2000)]


def begins(end: int, turns: tuple[int, ...] = (), passes: PromptPasses = PASSES) -> list[int]:
    """Of all passes over a prompt of `end` tokens, and its end."""
    found = [0]
    while found[-1] < end:
        found.append(passes.end(found[-1], end, turns))
    return found


@pytest.mark.parametrize("passes", [PASSES, prompt_passes()], ids=["some", "this device's"])
def test_passes_get_shorter_and_end_where_chunks_end(passes: PromptPasses) -> None:
    """What was found of a prompt is whole chunks: behind them a cold run begins a pass too."""
    places = begins(8_192, passes=passes)
    widths = [stop - start for start, stop in pairwise(places)]
    assert widths == sorted(widths, reverse=True)
    assert set(range(0, 8_193, passes.chunk)) <= set(places)
    assert (widths[0], widths[-1]) == (passes.chunk, passes.least)


@pytest.mark.parametrize("turns", TURNS)
def test_a_turn_has_passes_of_its_own_and_chunks_end_all_the_same(turns: tuple[int, ...]) -> None:
    places = begins(2_100, turns)
    assert {*turns, *range(0, 2_100, 64)} <= set(places)
    assert all(stop - start <= PASSES.tokens(start) for start, stop in pairwise(places) if start not in turns)


def test_far_behind_a_question_is_read_in_one_pass() -> None:
    """It takes as long as two: a short one up to the next place, and one of the usual 16."""
    assert begins(1_070, (1_030,))[-4:] == [1_024, 1_030, 1_056, 1_070]
    assert begins(1_080, (1_047,))[-4:] == [1_040, 1_047, 1_072, 1_080]
    assert begins(1_100, (1_076,))[-4:] == [1_072, 1_076, 1_088, 1_100], "in the same chunk"
    assert begins(1_030, (1_010,))[-4:] == [992, 1_010, 1_024, 1_030], "not before"
    assert begins(1_060, (1_040,))[-3:] == [1_040, 1_056, 1_060], "which begins where any pass may"


@pytest.mark.parametrize("passes", [PASSES, prompt_passes()], ids=["some", "this device's"])
@pytest.mark.parametrize("turns", TURNS)
def test_a_later_answer_begins_where_a_pass_would(turns: tuple[int, ...], passes: PromptPasses) -> None:
    places = begins(8_192, turns, passes)
    assert set(turns) <= set(places)
    for length in range(0, 8_192, 7):
        expected = max(place for place in places if place <= length)
        assert passes.last_begin(length, turns) == expected
        assert usable_prefix(length, 8_192, passes, turns) == expected


@pytest.mark.parametrize("turns", TURNS)
def test_words_of_an_answers_own_are_no_part_of_a_pass_over_the_prompt(turns: tuple[int, ...]) -> None:
    end = 2_025
    for start in range(0, end, 5):
        assert chunk_end(start, end, end + 40, PASSES, turns) == PASSES.end(start, end, turns)
    assert chunk_end(end, end, end + 40, PASSES, turns) == 2_032


def test_a_prompt_that_is_longer_is_read_in_the_same_passes_as_far_as_it_is_the_same() -> None:
    for length in range(1, 2_200, 13):
        places = begins(length, tuple(turn for turn in TURNS[-1] if turn < length))
        assert places[:-1] == begins(2_200, TURNS[-1])[: len(places) - 1]


def test_the_shortest_pass_is_known() -> None:
    assert (PASSES.least, PromptPasses(8).least) == (16, 8)
    assert prompt_passes().least <= prompt_passes().chunk


def test_turns_are_found_by_their_ids() -> None:
    """With 1, 2 every question begins; what is shorter than 16 tokens is no turn."""
    ids = (*[0] * 20, 1, 2, *[3] * 5, 1, 2, *[4] * 30, 1, 5, 1, 2, 6, 7)
    assert turns_of(ids, (1, 2)) == (22, 63)
    assert turns_of(ids, (1, 2), opening=24) == (24, 63), "the opening is the first, whatever it ends with"
    assert turns_of(ids, ()) == ()
    assert turns_of((*[0] * 20, 1, 2), (1, 2)) == (), "there is nothing behind it"
    assert turns_of((*[0] * 20, 1), (1, 2)) == ()


def test_what_is_added_to_a_chat_moves_none_of_its_turns() -> None:
    chat: tuple[int, ...] = ()
    before: tuple[int, ...] = ()
    for turn in range(12):
        chat = (*chat, *[9] * (3 + 7 * turn % 23), 1, 2, *[8] * 4)
        now = turns_of(chat, (1, 2))
        assert now[: len(before)] == before
        before = now
    assert len(before) > 5
