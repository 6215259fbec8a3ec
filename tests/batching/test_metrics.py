"""What became of steps and requests, as numbers and as text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlx_spec.batching import BatchSettings, Metrics, format_report
from mlx_spec.batching.admission import Refusal
from mlx_spec.batching.metrics import Percentiles, StepRecord
from tests.batching.table import RandomLife, TableEngine


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=60))
def test_percentiles_are_numpys(values: list[float]) -> None:
    told = Percentiles.of(values)
    assert told.count == len(values)
    assert [told.p50, told.p95, told.p99] == pytest.approx(np.percentile(values, [50, 95, 99]).tolist())


def test_of_nothing_there_are_none() -> None:
    assert Percentiles.of([]) == Percentiles(0, None, None, None)


def record(at_ms: float, **counts: object) -> StepRecord:
    usual: dict[str, object] = {
        "milliseconds": 10.0,
        "rows_read": 0,
        "rows_written": 0,
        "tokens": 0,
        "batch": 0,
        "waiting": 0,
        "blocks_used": 0,
    }
    return StepRecord(at_ms=at_ms, **{**usual, **counts})  # type: ignore[arg-type]


def an_hour() -> Metrics:
    """A request that waits, is read with half its prompt found, writes three rounds, steps aside once and ends; and
    another that is refused."""
    metrics = Metrics(total_blocks=20)
    engine = TableEngine(BatchSettings(block_tokens=16, chunk_tokens=16, draft_tokens=2), 20)
    metrics.arrived("a", 0.0)
    engine.add("a", 65, 6)
    plan = engine.scheduler.plan(now_ms=30.0, found_tokens=lambda entry: 35)
    metrics.planned(plan, 30.0)
    metrics.stepped(record(130.0, milliseconds=100.0, rows_read=plan.rows_read, blocks_used=5), {})
    engine.scheduler.finish(plan, {})
    for at_ms, tokens, drafts in ((150.0, 3, (2, 2)), (250.0, 2, (2, 1)), (290.0, 1, None)):
        plan = engine.scheduler.plan(now_ms=at_ms)
        metrics.planned(plan, at_ms)
        step = record(
            at_ms, rows_written=3, tokens=tokens, batch=1, waiting=2, blocks_used=6, drafts=(drafts,) if drafts else ()
        )
        metrics.stepped(step, {"a": tokens})
        engine.scheduler.finish(plan, {"a": tokens})
    metrics.ended("a", "done")
    metrics.refused(Refusal("b", "full", "come back", 2))
    return metrics


def test_a_request_is_followed_from_its_arrival_to_its_end() -> None:
    told = an_hour().snapshot()
    assert told.requests == {"done": 1, "full": 1}
    assert told.under_way == 0
    assert (told.steps, told.tokens, told.tokens_read) == (4, 6, 32)
    assert (told.prompts, told.prefix_hits, told.prompt_tokens, told.cached_tokens) == (1, 1, 65, 32)
    assert told.queue_ms == Percentiles(1, 30.0, 30.0, 30.0)
    assert told.first_token_ms.p50 == 150.0
    assert told.pause_ms == Percentiles(2, 70.0, *np.percentile([100.0, 40.0], [95, 99]).tolist())
    assert told.between_ms.count == 3  # two tokens in 100 ms and one in 40
    assert told.between_ms.p50 == 50.0
    assert [(place.tested, place.accepted) for place in told.by_place] == [(2, 2), (2, 1)]
    assert {batch: (odds.tested, odds.accepted, odds.rate) for batch, odds in told.by_batch.items()} == {
        1: (4, 3, 0.75)
    }
    assert told.tokens_per_s == pytest.approx(6 / 0.130)
    assert told.read_per_s == pytest.approx(32 / 0.130)
    assert (told.mean_batch, told.batch, told.waiting, told.blocks_used, told.total_blocks) == (1.0, 1, 2, 6, 20)


def test_a_prompt_that_was_found_whole_counts_as_found() -> None:
    engine, metrics = TableEngine(BatchSettings(block_tokens=16, chunk_tokens=16), 20), Metrics()
    engine.add("a", 33, 6)
    metrics.planned(engine.scheduler.plan(now_ms=0.0, found_tokens=lambda entry: 32), 0.0)
    told = metrics.snapshot()
    assert (told.prefix_hits, told.cached_tokens, told.prompt_tokens) == (1, 32, 33)


def test_only_the_last_steps_count_for_rates_and_all_for_counters() -> None:
    metrics = Metrics(window=4)
    for number in range(10):
        metrics.stepped(record(float(number), milliseconds=1.0 + number, tokens=1, batch=number % 3), {})
    told = metrics.snapshot()
    assert (told.steps, told.tokens, told.step_ms.count) == (10, 10, 4)
    assert told.step_ms.p50 == 8.5
    assert told.tokens_per_s == pytest.approx(4 / 0.034)
    assert told.mean_batch == 1.5  # of 0, 1, 2 and 0: of steps in which somebody wrote


def test_who_steps_aside_and_what_is_read_again_are_counted_as_the_scheduler_counts() -> None:
    for preemption in ("swap", "recompute"):
        settings = BatchSettings(
            preemption=preemption,  # type: ignore[arg-type]
            max_batch=4,
            step_tokens=24,
            chunk_tokens=8,
            block_tokens=4,
            spare_blocks=0,
        )
        engine, metrics = TableEngine(settings, 17), Metrics()
        life = RandomLife(engine, seed=3, loses=False)
        entries = {}
        for _ in range(600):
            plan = life.step()
            metrics.planned(plan, engine.now_ms)
            entries |= {entry.request_id: entry for entry in (*plan.entries, *engine.scheduler.entries)} | engine.done
        told = metrics.snapshot()
        assert told.preemptions == {preemption: sum(entry.preemptions for entry in entries.values())}
        assert told.recomputed_tokens == sum(entry.recomputed_tokens for entry in entries.values())
        assert (told.recomputed_tokens > 0) == (preemption == "recompute")
        assert told.prompts == len(set(engine.let_on))
        metrics.lost(30)
        assert metrics.snapshot().recomputed_tokens == told.recomputed_tokens + 30


REPORT = """\
Requests
  under way             0
  waiting               2
  done                  1
  full                  1

Steps
  steps                 4
  tokens written        6  (46.2 a second)
  tokens read           32  (246.2 a second)
  answers a step        1.00  (now 1)

Milliseconds                   p50       p95       p99       of
  in the queue                30.0      30.0      30.0        1
  to the first token         150.0     150.0     150.0        1
  between tokens              50.0      50.0      50.0        3
  between rounds              70.0      97.0      99.4        2
  a step                      10.0      86.5      97.3        4

Memory
  blocks                6 of 20  (30%)
  prompts found         1 of 1  (49% of their tokens)

Drafts by place             tested  accepted      rate
  place 1                        2         2      100%
  place 2                        2         1       50%

Drafts by batch size        tested  accepted      rate
  answers 1                      4         3       75%
"""


def test_the_report_is_readable() -> None:
    assert format_report(an_hour().snapshot()) == REPORT


def test_a_report_of_nothing_says_so_and_divides_by_nothing() -> None:
    told = format_report(Metrics().snapshot())
    assert "steps                 0" in told
    assert "Milliseconds" not in told
    assert "Drafts" not in told
    assert "Memory" not in told
