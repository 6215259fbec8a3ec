"""Who is let on, and who is refused. The oracle tries every order of those who wait, and counts for itself."""

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mlx_spec.batching.admission import Refusal, arriving, refusal
from mlx_spec.batching.entry import PRIORITIES, Entry
from mlx_spec.batching.settings import POLICIES, BatchSettings
from mlx_spec.batching.step import plan_step
from mlx_spec.errors import ConfigError


def ceil(tokens: int, size: int) -> int:
    return (tokens + size - 1) // size


def before(policy: str, patience: int, first: Entry, second: Entry, overtaken: dict[str, int]) -> bool:
    """Whether the first of two who wait goes first: the policies in plain words."""
    aged = [overtaken[one.request_id] >= patience for one in (first, second)]
    if aged[0] != aged[1]:
        return aged[0]
    if not aged[0]:
        never = float("inf")
        ranks = {
            "shortest": [one.prompt_tokens - 1 + one.max_tokens - one.read_tokens for one in (first, second)],
            "priority": [-PRIORITIES.index(one.priority) for one in (first, second)],
            "deadline": [never if one.due_ms is None else one.due_ms for one in (first, second)],
        }.get(policy, [0, 0])
        if ranks[0] != ranks[1]:
            return ranks[0] < ranks[1]
        begun = [one.state != "waiting" for one in (first, second)]
        if begun[0] != begun[1]:
            return begun[0]
    return first.arrival < second.arrival


def most_that_can_be_let_on(entries: list[Entry], free: int, settings: BatchSettings) -> list[str]:
    """Of all sequences of those who wait, the longest that keeps to the order and fits, by trying them all."""
    waiting, on = [one for one in entries if one.waits], sum(one.is_on for one in entries)
    best: list[str] = []
    for count in range(1, len(waiting) + 1):
        for sequence in permutations(waiting, count):
            if fits(sequence, waiting, on, free, settings):
                best = [one.request_id for one in sequence]
    return best


def fits(sequence: tuple[Entry, ...], waiting: list[Entry], on: int, free: int, settings: BatchSettings) -> bool:
    left, blocks, can_read = list(waiting), free, settings.step_tokens - settings.max_batch
    overtaken = {one.request_id: one.overtaken for one in waiting}
    half_read = False
    for one in sequence:
        if any(before(settings.policy, settings.patience, other, one, overtaken) for other in left if other is not one):
            return False
        left.remove(one)
        for other in left:
            overtaken[other.request_id] += other.arrival < one.arrival
        known = one.prompt_tokens + one.written_tokens
        reserves = settings.policy == "orca"
        needed = ceil(one.prompt_tokens + one.max_tokens - 1 if reserves else known, settings.block_tokens)
        if on == settings.max_batch or needed + (0 if reserves else on * settings.spare_blocks) > blocks:
            return False
        on, blocks = on + 1, blocks - needed
        ends = [
            stop
            for stop in range(one.read_tokens + 1, known)
            if (stop % settings.chunk_tokens == 0 or stop in (one.prompt_tokens - 1, known - 1))
            and stop - one.read_tokens <= can_read
        ]
        if one.read_tokens < known - 1:
            if half_read or not ends:
                return False
            can_read -= ends[-1] - one.read_tokens
            half_read = ends[-1] < known - 1
    return True


@st.composite
def lines(draw: st.DrawFn) -> tuple[list[Entry], int, BatchSettings]:
    """A few that wait, one or two that are on, a small pool."""
    settings = BatchSettings(
        policy=draw(st.sampled_from(POLICIES)),
        max_batch=draw(st.integers(1, 4)),
        step_tokens=draw(st.integers(8, 24)),
        chunk_tokens=draw(st.sampled_from([1, 2, 4])),
        block_tokens=2,
        draft_tokens=0,
        spare_blocks=draw(st.integers(0, 1)),
        patience=draw(st.integers(0, 2)),
    )
    entries = []
    for arrival in range(draw(st.integers(1, 4))):
        entry = arriving(
            f"r{arrival}",
            arrival,
            draw(st.integers(1, 12)),
            draw(st.integers(1, 6)),
            priority=draw(st.sampled_from(PRIORITIES)),
            deadline_ms=draw(st.sampled_from([None, 5.0, 7.0])),
        )
        written = draw(st.integers(0, entry.max_tokens - 1))
        read = entry.prompt_tokens + written - 1
        state = draw(st.sampled_from(["waiting", "waiting", "swapped", "recompute"]))
        if state == "swapped":
            entry = replace(entry, written_tokens=written, read_tokens=read, stored_blocks=ceil(read, 2))
        elif state == "recompute":
            entry = replace(entry, written_tokens=written)
        overtaken = draw(st.integers(0, settings.patience))
        entries.append(replace(entry, state=state, overtaken=overtaken))
    if settings.max_batch > 1 and draw(st.booleans()):
        held = ceil(6 if settings.policy != "orca" else 9, 2)
        on = replace(arriving("on", 9, 5, 5), state="writing", read_tokens=5, written_tokens=1, blocks=held)
        entries.append(on)
    return entries, draw(st.integers(9, 20)), settings


@hypothesis_settings(max_examples=250, deadline=None)
@given(lines())
def test_those_are_let_on_who_stand_first_and_fit(line: tuple[list[Entry], int, BatchSettings]) -> None:
    entries, free, settings = line
    plan = plan_step(entries, free, settings)
    assert plan.preempted == plan.refused == ()
    expected = most_that_can_be_let_on(entries, free, settings)
    assert {*plan.resumed, *plan.admitted} == set(expected)
    states = {entry.request_id: entry.state for entry in entries}
    assert list(plan.admitted) == [name for name in expected if states[name] == "waiting"]
    assert list(plan.resumed) == [name for name in expected if states[name] != "waiting"]


def refused(entry: Entry, *others: Entry, now_ms: float = 0.0, pace_ms: float = 0.0, **options: int) -> Refusal | None:
    return refusal(entry, others, BatchSettings(block_tokens=4, **options), 10, now_ms, pace_ms)  # type: ignore[arg-type]


def test_a_text_that_the_pool_does_not_hold_is_refused_with_the_numbers() -> None:
    assert refused(arriving("a", 0, 30, 11)) is None  # the newest token is never read
    told = refused(arriving("a", 0, 30, 12))
    assert told is not None
    assert (told.reason, told.retry_after_s) == ("too_large", None)
    assert "30 tokens" in told.message
    assert "40 in all" in told.message


def test_a_deadline_that_has_passed_is_refused_at_once_and_nothing_is_computed() -> None:
    told = refused(arriving("a", 0, 4, 4, deadline_ms=0.0))
    assert told is not None
    assert told.reason == "expired"
    assert refused(arriving("a", 0, 4, 4, deadline_ms=0.1)) is None
    waiting = arriving("a", 0, 4, 4, now_ms=100.0, deadline_ms=50.0)
    plan = plan_step([waiting], 10, BatchSettings(), now_ms=149.9)
    assert plan.admitted == ("a",)
    plan = plan_step([waiting], 10, BatchSettings(), now_ms=150.0)
    assert [one.reason for one in plan.refused] == ["expired"]
    assert plan.idle
    assert plan.entries == ()


@pytest.mark.parametrize("state", ["writing", "swapped", "recompute"])
def test_an_answer_that_was_begun_outlives_its_deadline(state: str) -> None:
    entry = arriving("a", 0, 4, 4, deadline_ms=50.0)
    read = 0 if state == "recompute" else 4
    entry = replace(
        entry,
        state=state,  # type: ignore[arg-type]
        written_tokens=1,
        read_tokens=read,
        blocks=state == "writing",
        stored_blocks=state == "swapped",
    )
    plan = plan_step([entry], 10, BatchSettings(), now_ms=1e6)
    assert plan.refused == ()
    assert not plan.idle


def test_over_the_limit_one_is_refused_and_told_when_to_come_back() -> None:
    others = [arriving(str(number), number, 4, 4) for number in range(5)]
    on = replace(others[0], state="writing", read_tokens=3, blocks=1)
    assert refused(arriving("a", 9, 4, 4), on, *others[1:4], max_batch=1, max_waiting=4) is None
    told = refused(arriving("a", 9, 4, 4), on, *others[1:5], max_batch=1, max_waiting=4, pace_ms=2_300.0)
    assert told is not None
    assert (told.reason, told.retry_after_s) == ("full", 3)
    assert "1 answers are under way and 4 requests wait" in told.message
    at_once = refused(arriving("a", 9, 4, 4), on, *others[1:5], max_batch=1, max_waiting=4, pace_ms=1.0)
    assert at_once is not None
    assert at_once.retry_after_s == 1  # never "now"


def test_where_nobody_may_wait_a_free_place_is_still_taken() -> None:
    first, second = arriving("a", 0, 4, 4), arriving("b", 1, 4, 4)
    assert refused(first, max_batch=2, max_waiting=0) is None
    assert refused(second, first, max_batch=2, max_waiting=0) is None
    assert refused(arriving("c", 2, 4, 4), first, second, max_batch=2, max_waiting=0) is not None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt_tokens", 0),
        ("max_tokens", 0),
        ("priority", "urgent"),
        ("deadline_ms", float("nan")),
        ("deadline_ms", float("inf")),
    ],
)
def test_what_is_no_request_is_told_by_its_field(field: str, value: object) -> None:
    request: dict[str, object] = {"prompt_tokens": 4, "max_tokens": 4, field: value}
    with pytest.raises(ConfigError, match=field):
        arriving("a", 0, **request)  # type: ignore[arg-type]
