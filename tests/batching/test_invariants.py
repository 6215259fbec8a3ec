"""The checks themselves: each is given something that it must not let pass."""

from dataclasses import replace

import pytest

from mlx_spec.batching.admission import Refusal, arriving
from mlx_spec.batching.entry import Entry
from mlx_spec.batching.invariants import check_entries, check_plan
from mlx_spec.batching.preemption import Preempted
from mlx_spec.batching.settings import BatchSettings
from mlx_spec.batching.step import plan_step
from mlx_spec.batching.step_plan import Reading, Writing

SETTINGS = BatchSettings(
    max_batch=2,
    max_waiting=2,
    step_tokens=20,
    chunk_tokens=8,
    block_tokens=4,
    patience=3,
    draft_tokens=2,
    spare_blocks=0,
)
WRITES = replace(arriving("w", 0, 8, 9), state="writing", read_tokens=8, written_tokens=1, blocks=3)
READS = replace(arriving("r", 1, 30, 9), state="reading", read_tokens=8, blocks=8)
WAITS = arriving("q", 2, 8, 9)
ASIDE = replace(arriving("s", 3, 8, 9), state="swapped", read_tokens=5, stored_blocks=2)
GOOD = [WRITES, READS, WAITS, ASIDE]


def test_what_is_right_passes() -> None:
    check_entries(GOOD, SETTINGS, 20, 9, 2)
    check_plan(GOOD, plan_step(GOOD, 9, SETTINGS), SETTINGS, 9)


@pytest.mark.parametrize(
    ("entries", "free", "told"),
    [
        (GOOD, 10, "11 blocks are held and 10 free"),
        ([*GOOD, replace(WAITS, arrival=4)], 9, "there twice"),
        (GOOD[::-1], 9, "order of arrival"),
        ([*GOOD, replace(WAITS, request_id="z")], 9, "order of arrival"),
        ([replace(WRITES, blocks=23)], -3, "more blocks are held"),
        ([replace(WRITES, blocks=1)], 19, "w has 1 blocks and needs 2"),
        ([replace(WAITS, blocks=1)], 19, "holds 1 blocks and is waiting"),
        ([replace(ASIDE, blocks=1)], 19, "holds 1 blocks and is swapped"),
        ([replace(ASIDE, stored_blocks=1)], 20, "has 1 blocks stored"),
        ([replace(ASIDE, read_tokens=7), replace(ASIDE, request_id="t", arrival=9)], 20, "4 blocks are stored, of 2"),
        ([replace(WRITES, stored_blocks=1)], 17, "has 1 blocks stored"),
        ([WRITES, READS, replace(WRITES, request_id="x", arrival=5)], 6, "3 answers are on"),
        ([READS, replace(READS, request_id="x", arrival=5)], 4, "2 prompts are half read"),
        ([replace(WRITES, state="done")], 17, "done and still there"),
        ([replace(WAITS, overtaken=4)], 20, "overtaken 4 times"),
        ([replace(WRITES, read_tokens=7)], 17, "written before it is read"),
        ([replace(WRITES, read_tokens=9)], 17, "has read 9 of 8"),
        ([replace(READS, read_tokens=29)], 12, "read for nothing"),
        ([replace(WRITES, written_tokens=9, read_tokens=16, blocks=4)], 16, "has written 9"),
        ([replace(WAITS, read_tokens=3)], 20, "waits with tokens read"),
        ([replace(WAITS, request_id=f"q{n}", arrival=n) for n in range(5)], 20, "5 requests wait"),
    ],
)
def test_wrong_entries_are_seen(entries: list[Entry], free: int, told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        check_entries(entries, SETTINGS, 20, free, 2)


def test_wrong_plans_are_seen() -> None:
    plan = plan_step(GOOD, 9, SETTINGS)
    assert [(one.start, one.stop) for one in plan.readings] == [(8, 24)]
    reading, writing = plan.readings[0], plan.writings[0]
    lost = replace(plan, entries=plan.entries[1:])
    wrong = {
        "lost, or came from nowhere": lost,
        "there twice": replace(plan, entries=(*plan.entries, plan.entries[0])),
        "refused and goes on": replace(plan, refused=(Refusal("q", "full", ""),)),
        "a block was lost": replace(plan, free_blocks=plan.free_blocks - 1),
        "read and written": replace(plan, writings=(writing, Writing("r", 0))),
        "over the budget": replace(plan, draft_rows=4),
        "counts other rows": replace(plan, utilisation=0.5),
        "a second prompt": replace(plan, readings=(reading, Reading("q", 0, 7, 7, 7)), draft_rows=-4, utilisation=1.2),
        "neither whole": replace(plan, readings=(replace(reading, stop=23),), utilisation=16 / 20),
        "w is read and is writing": replace(
            plan, readings=(Reading("w", 8, 16, 30, 30),), writings=(), utilisation=8 / 20
        ),
        "r is written and is reading": replace(plan, readings=(), writings=(Writing("r", 0),), utilisation=1 / 20),
        "a draft has no place": replace(plan, writings=(Writing("w", 4),)),
        "was left out": replace(plan, writings=(), utilisation=16 / 20),
    }
    for told, one in wrong.items():
        with pytest.raises(AssertionError, match=told):
            check_plan(GOOD, one, SETTINGS, 9)
    more = replace(plan, entries=(*plan.entries[:2], replace(plan.entries[2], state="reading"), plan.entries[3]))
    with pytest.raises(AssertionError, match="more answers are on"):
        check_plan(GOOD, more, SETTINGS, 9)


def test_a_wrong_order_is_seen() -> None:
    line = [arriving("a", 0, 4, 4, priority="low"), arriving("b", 1, 4, 4), arriving("c", 2, 4, 4)]
    settings = replace(SETTINGS, policy="priority", max_batch=1)
    plan = plan_step(line, 9, settings)
    assert plan.admitted == ("b",)
    assert plan.entries[0].overtaken == 1
    other = plan_step([line[0], replace(line[1], priority="low"), line[2]], 9, settings)
    with pytest.raises(AssertionError, match="b stood first"):
        check_plan(line, other, settings, 9)
    with pytest.raises(AssertionError, match="does not age"):
        check_plan(line, replace(plan, entries=(line[0], *plan.entries[1:])), settings, 9)
    with pytest.raises(AssertionError, match="another stepped aside"):
        check_plan(line, replace(plan, preempted=(Preempted("c", "swap", 0, 0, 0),)), settings, 9)
