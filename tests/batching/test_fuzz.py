"""100,000 random steps with the model replaced by a table, every invariant checked in each: 10,000 for every policy and
way of stepping aside. Arrivals, cancels between and amid steps, deadlines, a pool that holds two or three."""

import math

import pytest

from mlx_spec.batching.settings import POLICIES, PREEMPTIONS, BatchSettings, PolicyName, PreemptionName
from tests.batching.table import RandomLife, TableEngine

STEPS = 10_000


def tight(policy: PolicyName, preemption: PreemptionName, **options: object) -> BatchSettings:
    usual: dict[str, object] = {
        "max_batch": 4,
        "max_waiting": 4,
        "step_tokens": 24,
        "chunk_tokens": 8,
        "block_tokens": 4,
        "draft_tokens": 4,
        "patience": 3,
        "spare_blocks": 0,
        "prefill_budget_ms": 17.0,
    }
    return BatchSettings(policy=policy, preemption=preemption, **{**usual, **options})  # type: ignore[arg-type]


@pytest.mark.in_turn
@pytest.mark.parametrize("preemption", PREEMPTIONS)
@pytest.mark.parametrize("policy", POLICIES)
def test_all_invariants_hold_whatever_happens(policy: PolicyName, preemption: PreemptionName) -> None:
    engine = TableEngine(tight(policy, preemption), 17, stored=10)
    life = RandomLife(engine, seed=POLICIES.index(policy))
    how = {"swap": 0, "recompute": 0}
    resumed = most_overtaken = 0
    for _ in range(STEPS):
        plan = life.step()
        resumed += len(plan.resumed)
        for preempted in plan.preempted:
            how[preempted.how] += 1
        most_overtaken = max(most_overtaken, *(entry.overtaken for entry in plan.entries), 0)
    _check_that_much_happened(policy, preemption, engine, life, how, resumed)
    assert (most_overtaken > 0) == (policy not in ("fcfs", "orca"))
    for _ in range(1_000):  # nobody comes any more, and all end
        if not engine.scheduler.entries:
            break
        engine.step()
    assert engine.scheduler.entries == ()
    assert engine.scheduler.free_blocks == 17


def _check_that_much_happened(
    policy: PolicyName,
    preemption: PreemptionName,
    engine: TableEngine,
    life: RandomLife,
    how: dict[str, int],
    resumed: int,
) -> None:
    """Else it would show nothing."""
    assert len(engine.done) > STEPS / 5
    assert min(life.events["cancelled"], life.events["cancelled_amid"]) > 50
    assert (life.events["lost"] > 0) == (preemption == "swap" and policy != "orca")
    assert {"expired", "full", "too_large"} <= set(engine.refused.values())
    if policy == "orca":
        assert how == {"swap": 0, "recompute": 0}
        return
    assert how[preemption] > 50
    assert resumed > 50
    assert (how["recompute"] > 0) == (
        preemption == "recompute" or how["swap"] > 0
    )  # of the swapped too, some find no room


@pytest.mark.parametrize("policy", POLICIES)
def test_an_answer_is_let_on_within_the_steps_that_those_before_it_take(policy: PolicyName) -> None:
    """In each step somebody who is on makes one of the steps that it has at most: a chunk or a token."""
    settings = tight(policy, "swap", max_waiting=30)
    engine = TableEngine(settings, 17)
    life = RandomLife(engine, seed=7)
    beside: dict[str, set[str]] = {}  # of each that waits, who was on meanwhile
    waited: dict[str, int] = {}
    steps: dict[str, int] = {}
    checked = 0
    for _ in range(1_500):
        plan = life.step()
        on = {one.request_id for one in (*plan.readings, *plan.writings)}
        for entry in plan.entries:
            chunks = math.ceil((entry.prompt_tokens - 1) / settings.chunk_tokens)
            steps[entry.request_id] = chunks + entry.max_tokens
        for entry in engine.scheduler.entries:
            name = entry.request_id
            if entry.state == "waiting":
                waited[name] = waited.get(name, 0) + 1
                beside.setdefault(name, set()).update(on)
            elif name in waited:
                assert waited.pop(name) <= 1 + sum(steps[other] for other in beside[name])
                checked += 1
    assert checked > 150
