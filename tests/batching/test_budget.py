"""What a step can read, and in which chunks."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlx_spec.batching.admission import arriving
from mlx_spec.batching.budget import (
    TokenBudget,
    reading_end,
    reading_tokens,
    reading_within,
    usable_prefix,
)
from mlx_spec.batching.settings import BatchSettings
from mlx_spec.batching.step import plan_step
from mlx_spec.batching.step_plan import Reading
from mlx_spec.prompt_passes import PromptPasses
from tests.batching.table import TableEngine


def passes_of(
    prompt: int, written: int, read: PromptPasses, allowances: list[int], found: int = 0
) -> list[tuple[int, int]]:
    """All forward passes that read a text, when a step can read so much each."""
    start, prompt_end, end = usable_prefix(found, prompt, read), prompt - 1, prompt + written - 1
    passes = []
    while start < end:
        allowance = allowances[len(passes) % len(allowances)]
        stop = reading_end(start, prompt_end, end, max(read.chunk, allowance), read)
        passes += Reading("a", start, stop, prompt_end, end).passes(read)
        start = stop
    return passes


@given(
    st.integers(1, 200),
    st.integers(0, 60),
    st.integers(1, 40),
    st.lists(st.integers(1, 90), min_size=1, max_size=4),
    st.integers(0, 300),
)
def test_the_passes_over_a_text_do_not_depend_on_load_nor_on_what_was_found(
    prompt: int, written: int, chunk: int, allowances: list[int], found: int
) -> None:
    cold = passes_of(prompt, written, PromptPasses(chunk), [10_000])
    warm = passes_of(prompt, written, PromptPasses(chunk), allowances, found)
    assert cold[len(cold) - len(warm) :] == warm  # the end of the same list
    assert [begin for begin, _ in cold] == [0, *(end for _, end in cold)][: len(cold)]
    for begin, end in cold:
        assert begin % chunk == 0 or begin == prompt - 1 or begin > prompt - 1
        assert end - begin == chunk or end % chunk == 0 or end in (prompt - 1, prompt + written - 1)
        assert not begin < prompt - 1 < end


def test_far_behind_a_chunk_is_read_in_parts_at_fixed_places() -> None:
    read = PromptPasses(8, ((16, 4), (24, 2)))
    cold = passes_of(30, 0, read, [10_000])
    assert cold == [(0, 8), (8, 16), (16, 20), (20, 24), (24, 26), (26, 28), (28, 29)]
    for allowances, found in (([1], 0), ([9, 3], 0), ([1], 17), ([5], 27)):
        warm = passes_of(30, 0, read, allowances, found)
        assert cold[len(cold) - len(warm) :] == warm


def test_beside_those_who_write_a_part_of_a_chunk_is_read_where_a_whole_one_takes_too_long() -> None:
    settings = BatchSettings(
        prefill_budget_ms=3.0, chunk_tokens=8, shorter_chunks=((16, 2),), step_tokens=200, block_tokens=16
    )
    engine = TableEngine(settings, 100)
    engine.add("writes", 4, 50)
    engine.step()
    engine.add("long", 31, 4)
    rows = []
    while not any(one.request_id == "long" and one.state == "writing" for one in engine.scheduler.entries):
        rows.append(engine.step().rows_read)
    assert rows == [0, 8, 8, 2, 2, 2, 2, 2, 2, 2], "a first part always, or nothing would ever be read"


def test_a_share_that_cannot_be_is_an_error() -> None:
    budget = TokenBudget(4)
    with pytest.raises(ValueError, match="-1"):
        budget.allocate("a", -1)
    assert budget.allocate("a", 3)
    assert (budget.share("a"), budget.share("b"), budget.utilisation) == (3, 0, 0.75)
    assert TokenBudget(0).utilisation == 0.0


@pytest.mark.parametrize(
    ("budget_ms", "tokens"),
    [(1.0, 64), (64.0, 64), (127.9, 64), (128.0, 128), (200.0, 192), (1e9, 448)],
)
def test_milliseconds_for_reading_are_turned_to_whole_chunks(budget_ms: float, tokens: int) -> None:
    assert reading_tokens(budget_ms, float, 64, 500) == tokens


def test_passes_that_follow_each_other_take_as_long_as_each_alone() -> None:
    """A pass takes 10 ms and 1 ms a token; from the 16th token on it reads 4 tokens, and 8 before."""
    passes = PromptPasses(8, ((16, 4),))

    def tokens(start: int, budget_ms: float, turns: tuple[int, ...] = ()) -> int:
        return reading_within(start, 39, 39, budget_ms, lambda count: 10.0 + count, passes, turns)

    assert [tokens(0, budget) for budget in (1.0, 18.0, 35.9, 36.0, 50.0)] == [8, 8, 8, 16, 20]
    assert [tokens(16, budget) for budget in (14.0, 27.9, 28.0, 1e9)] == [4, 4, 8, 23]
    assert tokens(0, 18.0, turns=(5,)) == 5


def test_steps_in_what_reading_takes_are_seen() -> None:
    """Reading 128 tokens takes no longer than 64 here, and 192 three times as long."""
    assert reading_tokens(50.0, lambda tokens: 40.0 if tokens <= 128 else 120.0, 64, 1_000) == 128


def test_reading_is_bounded_in_time_only_beside_those_who_write() -> None:
    settings = BatchSettings(prefill_budget_ms=10.0, chunk_tokens=8, step_tokens=200, block_tokens=16)
    long = arriving("long", 1, 150, 4)
    alone = plan_step([long], 100, settings, reading_ms=float)
    assert alone.rows_read == 149
    engine = TableEngine(settings, 100)
    engine.add("writes", 4, 50)
    engine.step()
    newcomer = plan_step([*engine.scheduler.entries, long], 90, settings, reading_ms=float)
    assert newcomer.rows_read == 0, "its first words wait for nobody's prompt"
    engine.step()
    beside = plan_step([*engine.scheduler.entries, long], 90, settings, reading_ms=float)
    assert beside.rows_read == 8
    assert (alone.draft_rows, beside.draft_rows) == (0, 0), "drafts would lengthen the step"
    assert engine.step().draft_rows > 0
    unmeasured = plan_step([*engine.scheduler.entries, long], 90, settings)
    assert unmeasured.rows_read == 149


def test_several_passes_of_a_half_read_prompt_are_not_taken_for_one() -> None:
    """Passes of 4 tokens take 14 ms each, so that two are beyond 20 ms, which one over 8 tokens would not be."""
    settings = BatchSettings(
        prefill_budget_ms=20.0, chunk_tokens=8, shorter_chunks=((8, 4),), step_tokens=200, block_tokens=16
    )
    engine = TableEngine(settings, 100)
    engine.add("writes", 4, 50)
    engine.step()
    engine.step()
    writes = engine.scheduler.entries[0]
    long = replace(arriving("long", 1, 150, 4), state="reading", read_tokens=8, blocks=1)
    plan = plan_step([writes, long], 90, settings, reading_ms=lambda tokens: 10.0 + tokens)
    assert plan.rows_read == 4


def test_who_was_read_writes_before_others_are_read_beyond_the_time() -> None:
    settings = BatchSettings(prefill_budget_ms=10.0, chunk_tokens=8, step_tokens=200, block_tokens=16)
    waiting = [arriving(name, number, 17, 4) for number, name in enumerate("abcd")]
    plan = plan_step(waiting, 100, settings, reading_ms=float)
    assert [(one.request_id, one.rows) for one in plan.readings] == [("a", 16), ("b", 16), ("c", 8)], "40 tokens fit"
    unbounded = plan_step(
        waiting, 100, BatchSettings(chunk_tokens=8, step_tokens=200, block_tokens=16), reading_ms=float
    )
    assert [one.request_id for one in unbounded.readings] == [*"abcd"]


def test_where_many_wait_for_one_who_writes_they_are_read_at_once_though_it_waits_longer() -> None:
    settings = BatchSettings(prefill_budget_ms=20.0, chunk_tokens=8, step_tokens=400, block_tokens=16)

    def rows_read(writing: int, waiting: int, prompt: int = 17, half_read: bool = False) -> int:
        engine = TableEngine(settings, 400)
        for number in range(writing):
            engine.add(f"writes {number}", 1, 50)
        engine.step()
        if half_read:
            engine.add("long", 300, 4)
            engine.step()
        entries = [*engine.scheduler.entries, *(arriving(f"{at}", 90 + at, prompt, 4) for at in range(waiting))]
        return plan_step(entries, 300, settings, reading_ms=float).rows_read

    assert [rows_read(1, waiting) for waiting in (1, 2, 3, 4, 6)] == [16, 32, 48, 64, 96]
    assert [rows_read(writing, 4) for writing in (2, 3, 4)] == [40, 40, 40], "several together, for twice as long"
    assert rows_read(4, 1) == 16
    assert rows_read(1, 1, prompt=200) == 16, "who waits behind a long prompt gains nothing by more of it"
    assert rows_read(1, 4, prompt=200) == 80
    assert rows_read(1, 4, half_read=True) == 16, "and only as it begins"


def test_a_prompt_begins_behind_the_first_words_of_the_one_before_and_goes_on_beside_them() -> None:
    engine = TableEngine(BatchSettings(prefill_budget_ms=9.0, chunk_tokens=8, step_tokens=64, block_tokens=16), 100)
    engine.add("first", 9, 20)
    engine.step()
    engine.add("next", 25, 20)
    rows = [(plan := engine.step()).rows_read, len(plan.writings)]
    assert rows == [0, 1]
    assert [engine.step().rows_read for _ in range(4)] == [8, 8, 8, 0]


def test_drafts_get_the_rows_that_are_left() -> None:
    """Of 30 rows two are written, 24 read, and of the 16 that might be drafted four remain."""
    engine = TableEngine(BatchSettings(max_batch=6, chunk_tokens=8, step_tokens=30, block_tokens=16), 100)
    engine.add("a", 1, 50)
    engine.add("b", 1, 50)
    assert engine.step().draft_rows == 16
    engine.add("c", 100, 50)
    plan = engine.step()
    assert (plan.rows_read, len(plan.writings), plan.draft_rows) == (24, 2, 4)
    assert plan.utilisation == pytest.approx(26 / 30)


def test_one_prompt_is_read_at_a_time_while_others_write() -> None:
    engine = TableEngine(BatchSettings(max_batch=4, chunk_tokens=8, step_tokens=12, block_tokens=16), 100)
    engine.add("writes", 1, 90)
    for name in "abc":
        engine.add(name, 20, 4)
    half_read = 0
    for _ in range(30):
        plan = engine.step()
        assert "writes" in {one.request_id for one in plan.writings}  # reading never stops it
        half_read += bool(plan.readings) and plan.readings[-1].stop < plan.readings[-1].end
    assert half_read == 6
