"""What is kept between steps, and what may happen there."""

import pytest

from mlx_spec.batching import BatchSettings, Scheduler
from mlx_spec.errors import ConfigError
from tests.batching.table import TableEngine


def scheduler(**options: object) -> Scheduler:
    return Scheduler(BatchSettings(block_tokens=4, chunk_tokens=4, draft_tokens=2, **options), 50)  # type: ignore[arg-type]


def test_requests_may_come_and_go_while_a_step_is_carried_out() -> None:
    keeps = scheduler()
    keeps.add("a", 1, 5, now_ms=0.0)
    keeps.add("b", 1, 5, now_ms=0.0)
    plan = keeps.plan(now_ms=0.0)
    keeps.add("c", 1, 5, now_ms=1.0)
    assert keeps.cancel("a") is not None
    assert keeps.finish(plan, {"a": 2, "b": 2}) == ()
    assert [(entry.request_id, entry.written_tokens) for entry in keeps.entries] == [("b", 2), ("c", 0)]
    keeps.check()


def test_an_answer_ends_at_its_limit_or_when_it_is_said_to() -> None:
    keeps = scheduler()
    for name, limit in (("limit", 3), ("said", 9), ("failed", 9), ("goes", 9)):
        keeps.add(name, 1, limit, now_ms=0.0)
    plan = keeps.plan(now_ms=0.0)
    done = keeps.finish(plan, {"limit": 3, "said": 1, "goes": 2}, {"said", "failed"})
    assert [(entry.request_id, entry.state, entry.written_tokens) for entry in done] == [
        ("limit", "done", 3),
        ("said", "done", 1),
        ("failed", "done", 0),
    ]
    assert [entry.request_id for entry in keeps.entries] == ["goes"]
    assert keeps.free_blocks == 50 - keeps.entries[0].blocks
    keeps.check()


@pytest.mark.parametrize("count", [0, 4])
def test_a_round_cannot_write_more_than_it_had_room_for_nor_nothing(count: int) -> None:
    keeps = scheduler()
    keeps.add("a", 1, 9, now_ms=0.0)
    plan = keeps.plan(now_ms=0.0)
    with pytest.raises(ValueError, match=f"a wrote {count} tokens"):
        keeps.finish(plan, {"a": count})


def test_an_id_is_used_once_at_a_time() -> None:
    keeps = scheduler()
    keeps.add("a", 4, 9, now_ms=0.0)
    with pytest.raises(ConfigError, match="request_id"):
        keeps.add("a", 4, 9, now_ms=0.0)
    keeps.cancel("a")
    assert keeps.add("a", 4, 9, now_ms=0.0) is None


def test_who_waits_is_told_how_many_stand_before_it() -> None:
    keeps = scheduler(policy="priority", max_batch=1)
    for name, level in (("on", "low"), ("a", "low"), ("b", "high"), ("c", "normal"), ("d", "high")):
        keeps.add(name, 4, 9, now_ms=0.0, priority=level)  # type: ignore[arg-type]
        if name == "on":
            keeps.plan(now_ms=0.0)
    assert [keeps.ahead().get(name, 0) for name in ("on", "a", "b", "c", "d", "nobody")] == [0, 3, 0, 2, 1, 0]
    assert keeps.ahead().keys() == {"a", "b", "c", "d"}


def test_retry_after_follows_the_pace() -> None:
    keeps = scheduler(max_batch=1, max_waiting=1)
    told = []
    for number in range(4):
        now_ms = 7_000.0 * number
        assert keeps.add(str(number), 1, 9, now_ms=now_ms) is None
        keeps.plan(now_ms=now_ms)
        assert keeps.add("waits", 1, 9, now_ms=now_ms) is None
        refused = keeps.add("over", 1, 9, now_ms=now_ms)
        assert refused is not None
        told.append(refused.retry_after_s)
        keeps.cancel("waits")
        keeps.cancel(str(number))
    assert told == [5, 7, 7, 7]


def test_a_refused_request_leaves_no_trace() -> None:
    keeps = scheduler(max_batch=1, max_waiting=0)
    assert keeps.add("huge", 500, 9, now_ms=0.0) is not None
    assert keeps.add("late", 5, 9, now_ms=0.0, deadline_ms=-1.0) is not None
    assert keeps.entries == ()
    assert keeps.cancel("huge") is None


def test_one_answer_alone_is_a_batch_of_one() -> None:
    engine = TableEngine(BatchSettings(draft_tokens=3, block_tokens=16), 10)
    engine.add("a", 70, 9)
    assert [len(engine.step().readings) for _ in range(1)] == [1]
    rooms = []
    while engine.scheduler.entries:
        (round_,) = engine.step({"a": 3}).writings
        rooms.append(round_.room)
    assert rooms == [3, 3, 0]  # four tokens, four, and the last by itself


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_batch", 0),
        ("max_batch", True),
        ("max_waiting", -1),
        ("chunk_tokens", 0),
        ("block_tokens", 0),
        ("draft_tokens", -1),
        ("spare_blocks", -1),
        ("patience", -1),
        ("step_tokens", 71),
        ("policy", "lifo"),
        ("preemption", "drop"),
        ("prefill_budget_ms", 0),
        ("prefill_budget_ms", float("nan")),
        ("prefill_budget_ms", "soon"),
    ],
)
def test_settings_out_of_range_are_told_by_their_field(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field):
        BatchSettings(**{field: value})  # type: ignore[arg-type]
    assert BatchSettings(step_tokens=72).step_tokens == 8 + 64
