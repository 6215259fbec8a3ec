"""Who steps aside, what becomes of its blocks, and that it comes back as it was."""

from dataclasses import replace

import pytest

from mlx_spec.batching.admission import arriving
from mlx_spec.batching.entry import Entry
from mlx_spec.batching.preemption import step_aside, victim
from mlx_spec.batching.settings import PREEMPTIONS, BatchSettings, PreemptionName
from mlx_spec.batching.step import plan_step
from mlx_spec.prompt_passes import PromptPasses
from tests.batching.table import TableEngine


def writing(name: str, arrival: int, prompt: int, written: int, blocks: int, **options: object) -> Entry:
    entry = arriving(name, arrival, prompt, max(12, written + 2), **options)  # type: ignore[arg-type]
    return replace(entry, state="writing", written_tokens=written, read_tokens=prompt + written - 1, blocks=blocks)


def small(preemption: PreemptionName = "swap", **options: object) -> BatchSettings:
    usual: dict[str, object] = {"block_tokens": 4, "chunk_tokens": 4, "draft_tokens": 0, "spare_blocks": 0}
    return BatchSettings(preemption=preemption, **{**usual, **options})  # type: ignore[arg-type]


def test_the_victim_has_the_least_work_done() -> None:
    long_prompt, few, many = writing("p", 0, 99, 2, 1), writing("f", 1, 4, 1, 1), writing("m", 2, 4, 9, 1)
    assert victim([long_prompt, few, many]) is few  # fewest written
    assert victim([long_prompt, many]) is long_prompt
    assert victim([writing("s", 0, 4, 2, 1), long_prompt]).request_id == "s"  # as many written: fewest read
    assert victim([few, replace(few, request_id="g", arrival=3)]).request_id == "g"  # as much done: the last arrival
    reading = replace(arriving("r", 0, 99, 9), state="reading", read_tokens=90, blocks=9)
    assert victim([few, reading]) is reading


@pytest.mark.parametrize("preemption", PREEMPTIONS)
def test_it_gives_its_blocks_and_keeps_everything_else(preemption: PreemptionName) -> None:
    first = writing("a", 0, 8, 4, 3)
    second = writing("b", 1, 8, 1, 3, priority="high", deadline_ms=7.5)
    # Twelve tokens are known of a, and its round reads the twelfth; one more is a fourth block.
    plan = plan_step([replace(first, written_tokens=5, read_tokens=12), second], 0, small(preemption))
    aside = plan.entries[1]
    (told,) = plan.preempted
    assert (told.request_id, told.how, told.blocks) == ("b", preemption, 3)
    assert (plan.entries[0].blocks, plan.free_blocks) == (4, 2)
    assert [one.request_id for one in plan.writings] == ["a"]
    kept = {name: getattr(second, name) for name in ("arrival", "arrived_ms", "priority", "due_ms", "written_tokens")}
    assert {name: getattr(aside, name) for name in kept} == kept
    assert (aside.preemptions, aside.blocks) == (1, 0)
    if preemption == "swap":
        assert (aside.state, aside.read_tokens, aside.stored_blocks) == ("swapped", 8, 2)
        assert (told.stored_blocks, told.lost_tokens, aside.recomputed_tokens) == (2, 0, 0)
    else:
        assert (aside.state, aside.read_tokens, aside.stored_blocks) == ("recompute", 0, 0)
        assert (told.stored_blocks, told.lost_tokens, aside.recomputed_tokens) == (0, 8, 8)


def test_what_is_read_again_adds_up() -> None:
    entry = replace(writing("b", 1, 8, 1, 3), recomputed_tokens=5, preemptions=1)
    aside, told = step_aside(entry, "recompute", 4, None)
    assert (aside.recomputed_tokens, aside.preemptions, told.lost_tokens) == (13, 2, 8)


def test_where_there_is_no_room_to_swap_it_is_recomputed() -> None:
    entries = [writing("a", 0, 8, 5, 3), writing("b", 1, 8, 1, 3)]
    assert plan_step(entries, 0, small(), swap_room=2).preempted[0].how == "swap"
    assert plan_step(entries, 0, small(), swap_room=1).preempted[0].how == "recompute"
    larger = [writing("a", 0, 8, 17, 3), entries[1], writing("c", 2, 8, 1, 3)]  # four more blocks, and each has three
    told = plan_step(larger, 0, small(), swap_room=4).preempted
    assert [(one.request_id, one.how) for one in told] == [("c", "swap"), ("b", "swap")]
    told = plan_step(larger, 0, small(), swap_room=3).preempted
    assert [(one.request_id, one.how) for one in told] == [("c", "swap"), ("b", "recompute")]  # it was used up


def test_a_swapped_answer_writes_on_at_once_and_a_recomputed_one_is_read_first() -> None:
    entry = writing("a", 0, 10, 7, 0)
    swapped = replace(entry, state="swapped", stored_blocks=4)
    plan = plan_step([swapped], 10, small())
    assert plan.resumed == ("a",)
    assert [one.request_id for one in plan.writings] == ["a"]
    assert plan.readings == ()
    # What is kept of its prompt besides is no news to it.
    assert plan_step([swapped], 10, small(), found_tokens=lambda entry: 4).readings == ()
    lost = replace(entry, state="recompute", read_tokens=0)
    plan = plan_step([lost], 10, small())
    assert plan.writings == ()
    (reading,) = plan.readings
    # The prompt as it was read at first, and its own words behind it, in passes of their own.
    assert list(reading.passes(PromptPasses(4))) == [(0, 4), (4, 8), (8, 9), (9, 12), (12, 16)]


def test_a_copy_that_is_lost_is_read_again() -> None:
    engine = TableEngine(small(), 6)
    for name in "ab":
        engine.add(name, 8, 8)
    while not engine.step().preempted:
        pass
    (aside,) = [entry for entry in engine.scheduler.entries if entry.stepped_aside]
    assert engine.lose(aside.request_id)
    assert not engine.lose(aside.request_id)
    assert not engine.lose("nobody")
    engine.check()
    again = engine.scheduler.find(aside.request_id)
    assert again is not None
    assert (again.state, again.stored_blocks, again.recomputed_tokens) == ("recompute", 0, aside.read_tokens)
    while engine.scheduler.entries:
        engine.step()
    assert {name: entry.written_tokens for name, entry in engine.done.items()} == {"a": 8, "b": 8}


def test_who_was_half_read_is_read_on_where_it_was() -> None:
    half = replace(arriving("a", 0, 20, 4), state="swapped", read_tokens=8, stored_blocks=2)
    (reading,) = plan_step([half], 10, small(step_tokens=16)).readings
    assert (reading.start, reading.stop) == (8, 16)


def test_what_was_kept_of_the_prompt_is_not_read_again() -> None:
    lost = replace(writing("a", 0, 10, 7, 0), state="recompute", read_tokens=0)
    (reading,) = plan_step([lost], 10, small(), found_tokens=lambda entry: 10).readings
    assert (reading.start, reading.stop) == (8, 16)


def test_drafts_step_aside_before_an_answer_does() -> None:
    """One block is free: a draft of either would need it, and one of their rounds; the round gets it."""
    settings = small(draft_tokens=4)
    entries = [writing("a", 0, 8, 4, 3), writing("b", 1, 8, 5, 3)]
    plan = plan_step(entries, 1, settings)
    assert plan.preempted == ()
    assert [(one.request_id, one.room) for one in plan.writings] == [("a", 0), ("b", 3)]
    assert plan.free_blocks == 0
    # What was lent to drafts is taken back: a holds a block more than its round needs.
    plan = plan_step([writing("a", 0, 8, 4, 4), entries[1]], 0, settings)
    assert plan.preempted == ()
    assert [entry.blocks for entry in plan.entries] == [3, 4]


def test_nobody_is_let_on_in_a_step_in_which_somebody_stepped_aside() -> None:
    entries = [writing("a", 0, 8, 5, 3), writing("b", 1, 30, 1, 8), arriving("c", 2, 2, 2)]
    plan = plan_step(entries, 0, small())
    assert [one.request_id for one in plan.preempted] == ["b"]
    assert plan.free_blocks == 7
    assert plan.admitted == ()
    assert plan_step(plan.entries, plan.free_blocks, small()).resumed == ()  # eight are needed: it waits, and c with it


@pytest.mark.parametrize("preemption", PREEMPTIONS)
def test_cancelling_twice_while_reading_and_while_aside(preemption: PreemptionName) -> None:
    engine = TableEngine(small(preemption, step_tokens=12), 10)
    engine.add("a", 4, 20)
    engine.step()
    engine.add("b", 29, 4)
    plan = engine.plan()
    assert engine.cancel("b")  # while it is read
    assert not engine.cancel("b")
    engine.carry_out(plan)
    assert engine.scheduler.free_blocks == 10 - 1
    engine.add("c", 29, 4)
    while not (plan := engine.step()).preempted:
        assert "c" not in engine.done
    (aside,) = [entry for entry in engine.scheduler.entries if entry.stepped_aside]
    assert aside.request_id == "c"
    assert engine.cancel("c")  # while it is swapped
    assert not engine.cancel("c")
    engine.check()
    assert engine.pool.free_stored == set(range(10_000))
    while engine.scheduler.entries:
        engine.step()
    assert engine.scheduler.free_blocks == 10
    assert not engine.cancel("a")  # when it is done


def test_a_pool_that_shrinks_refuses_whom_it_no_longer_holds() -> None:
    entries = [writing("a", 0, 8, 5, 4), arriving("b", 1, 8, 2)]
    plan = plan_step([replace(entries[0], max_tokens=50), entries[1]], 4, small())
    assert [(one.request_id, one.reason) for one in plan.refused] == [("a", "too_large")]
    assert plan.admitted == ("b",)
