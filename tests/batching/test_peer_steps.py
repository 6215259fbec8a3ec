"""Steps of peers' schedulers, as facts: see `peer_steps`."""

import pytest

from mlx_spec.batching.step_plan import StepPlan
from tests.batching.peer_steps import Scenario, read_scenarios
from tests.batching.table import TableEngine


def told(plan: StepPlan) -> str:
    """A step in words."""
    parts = {
        "refused": " ".join(f"{one.request_id} {one.reason}" for one in plan.refused),
        "aside": ", ".join(f"{one.request_id} {one.how}" for one in plan.preempted),
        "back": " ".join(plan.resumed),
        "on": " ".join(plan.admitted),
        "read": ", ".join(f"{one.request_id} {one.start}-{one.stop}" for one in plan.readings),
        "write": " ".join(one.request_id + (f"+{one.room}" if one.room else "") for one in plan.writings),
    }
    return "; ".join(f"{name} {what}" for name, what in parts.items() if what) or "nothing"


def arrive(engine: TableEngine, line: str) -> None:
    name, sizes, *rest = line.split()
    prompt, limit = map(int, sizes.split("/"))
    options: dict[str, object] = {}
    match rest:
        case ["low" | "normal" | "high" as level]:
            options["priority"] = level
        case ["due", level]:
            options["deadline_ms"] = 1e6 + float(level)
    if not engine.add(name, prompt, limit, **options):
        assert [engine.refused[name]] == rest
    else:
        assert rest != ["too_large"]


@pytest.mark.parametrize("scenario", read_scenarios(), ids=lambda one: one.name)
def test_steps_are_those_of_the_peers(scenario: Scenario) -> None:
    engine = scenario.engine()
    for line in scenario.lines:
        if line.startswith("+"):
            arrive(engine, line[1:])
        elif line.startswith("-"):
            assert engine.cancel(line[1:])
        else:
            assert f"= {told(engine.step())}" == line


def test_there_are_enough_of_them() -> None:
    assert sum(line.startswith("=") for scenario in read_scenarios() for line in scenario.lines) >= 100
