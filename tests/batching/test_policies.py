"""Who goes first, and that nobody waits for ever."""

from dataclasses import replace

import pytest

from mlx_spec.batching.admission import arriving
from mlx_spec.batching.entry import Entry
from mlx_spec.batching.policies import order_of
from mlx_spec.batching.settings import BatchSettings, PolicyName
from tests.batching.table import TableEngine

LONG, LOW, SOON, LATER = (
    arriving("long", 0, 900, 100),
    arriving("low", 1, 9, 20, priority="low"),
    arriving("soon", 2, 50, 50, deadline_ms=10),
    arriving("later", 3, 9, 90, deadline_ms=20, priority="high"),
)


@pytest.mark.parametrize(
    ("policy", "order"),
    [
        ("fcfs", "long low soon later"),
        ("orca", "long low soon later"),
        ("shortest", "low later soon long"),
        ("priority", "later long soon low"),
        ("deadline", "soon later long low"),
    ],
)
def test_five_orders(policy: PolicyName, order: str) -> None:
    ordered = sorted([SOON, LATER, LONG, LOW], key=order_of(policy, 8))
    assert [entry.request_id for entry in ordered] == order.split()


def test_the_shortest_is_the_one_with_least_left_to_read_and_to_write() -> None:
    begun = replace(LONG, state="swapped", read_tokens=900, written_tokens=1 + 90)
    assert begun.tokens_left == 90 + 9
    half = replace(LONG, state="swapped", read_tokens=990, written_tokens=91)
    assert half.tokens_left == 9
    assert sorted([LOW, half], key=order_of("shortest", 8)) == [half, LOW]


@pytest.mark.parametrize("policy", ["fcfs", "priority", "deadline"])
def test_at_the_same_rank_who_had_begun_comes_before_newcomers(policy: PolicyName) -> None:
    earlier = arriving("earlier", 0, 9, 9)
    begun = replace(arriving("begun", 1, 9, 9), state="recompute")
    assert min(earlier, begun, key=order_of(policy, 8)) is begun
    high = arriving("high", 2, 9, 9, priority="high", deadline_ms=5)
    assert (min(high, begun, key=order_of(policy, 8)) is high) == (policy != "fcfs")


def test_the_aged_go_first_in_the_order_of_arrival() -> None:
    aged = replace(LOW, overtaken=8)
    older = replace(LONG, overtaken=9)
    for policy in ("shortest", "priority", "deadline", "fcfs", "orca"):
        assert sorted([LATER, aged, SOON, older], key=order_of(policy, 8))[:2] == [older, aged]
        assert order_of(policy, 9)(aged) > order_of(policy, 9)(older)


def unlucky(policy: PolicyName, patience: int, steps: int) -> tuple[Entry | None, list[str]]:
    """A request that all who come after it outrank, one a step: how it is after so many steps, and who was let on."""
    settings = BatchSettings(
        max_batch=2, policy=policy, patience=patience, step_tokens=66, block_tokens=16, max_waiting=10_000
    )
    engine = TableEngine(settings, 100)
    engine.add("before", 4, 3)
    engine.add("beside", 4, 3)
    engine.step()
    engine.add("unlucky", 40, 40, priority="low")
    for number in range(steps):
        engine.add(f"later{number}", 4, 2, priority="high", deadline_ms=1e6)
        engine.step()
        if "unlucky" in engine.let_on:
            break
    return engine.scheduler.find("unlucky"), engine.let_on


@pytest.mark.parametrize("patience", [0, 1, 5])
@pytest.mark.parametrize("policy", ["shortest", "priority", "deadline"])
def test_nobody_is_overtaken_more_often_than_patience_allows(policy: PolicyName, patience: int) -> None:
    entry, let_on = unlucky(policy, patience, 500)
    assert entry is not None
    assert entry.is_on
    assert entry.overtaken == patience  # the bound is reached, and kept
    assert let_on.index("unlucky") == 2 + patience  # the two before it, and so many others


@pytest.mark.parametrize("policy", ["shortest", "priority", "deadline"])
def test_without_ageing_it_would_wait_for_ever(policy: PolicyName) -> None:
    entry, let_on = unlucky(policy, 10**9, 500)
    assert entry is not None
    assert entry.state == "waiting"
    assert len(let_on) > 200


@pytest.mark.parametrize("policy", ["fcfs", "orca"])
def test_first_come_first_served_overtakes_nobody(policy: PolicyName) -> None:
    entry, let_on = unlucky(policy, 10**9, 500)
    assert entry is not None
    assert entry.overtaken == 0
    assert let_on[:3] == ["before", "beside", "unlucky"]


def test_nobody_is_passed_over_for_being_large() -> None:
    """Where the first does not fit, nobody behind it is let on, though they would."""
    engine = TableEngine(
        BatchSettings(block_tokens=4, chunk_tokens=8, spare_blocks=0, max_batch=3, step_tokens=100), 10
    )
    engine.add("on", 24, 4)
    engine.step()
    engine.add("large", 30, 2)
    engine.add("small", 2, 2)
    for _ in range(4):
        assert engine.step().admitted == ()
    assert engine.step().admitted == ("large", "small")


def test_orca_reserves_all_that_an_answer_may_need_and_fcfs_what_it_needs_now() -> None:
    counts = {}
    for policy in ("fcfs", "orca"):
        engine = TableEngine(BatchSettings(policy=policy, block_tokens=4, chunk_tokens=8), 12)  # type: ignore[arg-type]
        for name in "abc":
            engine.add(name, 8, 17)  # two blocks now, and six at most
        counts[policy] = len(engine.step().admitted)
        while engine.scheduler.entries:
            engine.step()
        assert any(entry.preemptions for entry in engine.done.values()) == (policy == "fcfs")
    assert counts == {"fcfs": 3, "orca": 2}
