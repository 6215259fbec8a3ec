"""Numbers of peers' budgets, blocks, prefixes and drafts, as far as ours should be the same: facts, rewritten.

Sources, of vLLM: the budget from tests/core/test_scheduler.py of 0.6 (read in a fork); blocks from
tests/core/block/test_block_manager.py at 0321fa7 and tests/v1/core/test_prefix_caching.py at 003df29; chunks from
tests/v1/core/test_prefill_chunk_alignment.py at f1ea52e; drafts and endings from tests/v1/core/test_scheduler.py at
003df29.
"""

from dataclasses import replace

import pytest

from mlx_spec.batching.admission import arriving, blocks_for, refusal
from mlx_spec.batching.budget import TokenBudget, reading_end, usable_prefix
from mlx_spec.batching.metrics import Metrics, StepRecord
from mlx_spec.batching.settings import BatchSettings
from mlx_spec.batching.step import plan_step
from mlx_spec.batching.step_plan import Reading
from mlx_spec.prompt_passes import PromptPasses
from tests.batching.table import TableEngine

BUDGET = [  # test_scheduling_budget: of 4 tokens; what is done, whether it is, what is left
    ("allocate", "a", 5, False, 4),
    ("allocate", "a", 2, True, 2),
    ("allocate", "b", 3, False, 2),
    ("allocate", "a", 2, False, 2),
    ("release", "a", 0, True, 4),
    ("release", "a", 0, False, 4),
    ("allocate", "b", 4, True, 0),
    ("allocate", "c", 1, False, 0),
]


def test_a_budget_is_the_peers() -> None:
    budget = TokenBudget(4)
    for what, name, tokens, done, left in BUDGET:
        assert bool(budget.allocate(name, tokens) if what == "allocate" else budget.release(name)) == done
        assert budget.left == left
        assert budget.utilisation == (4 - left) / 4


@pytest.mark.parametrize(
    ("block_tokens", "prompt", "written", "drafted", "blocks"),
    [  # test_append_slots: how many blocks are taken beyond the prompt's
        (1, 1, 1, 0, 1),
        (1, 1, 1, 10, 11),
        (1, 1, 8, 0, 8),
        (1, 1, 8, 10, 18),
        (1, 1, 129, 0, 129),
        (1, 1, 129, 10, 139),
        (1, 7, 1, 0, 1),
        (1, 7, 1, 10, 11),
        (1, 7, 8, 0, 8),
        (1, 7, 8, 10, 18),
        (1, 7, 129, 0, 129),
        (1, 7, 129, 10, 139),
        (1, 8, 1, 0, 1),
        (1, 8, 1, 10, 11),
        (1, 8, 8, 0, 8),
        (1, 8, 8, 10, 18),
        (1, 8, 129, 0, 129),
        (1, 8, 129, 10, 139),
        (8, 1, 1, 0, 0),
        (8, 1, 1, 10, 1),
        (8, 1, 8, 0, 1),
        (8, 1, 8, 10, 2),
        (8, 1, 129, 0, 16),
        (8, 1, 129, 10, 17),
        (8, 7, 1, 0, 0),
        (8, 7, 1, 10, 2),
        (8, 7, 8, 0, 1),
        (8, 7, 8, 10, 3),
        (8, 7, 129, 0, 16),
        (8, 7, 129, 10, 18),
        (8, 8, 1, 0, 1),
        (8, 8, 1, 10, 2),
        (8, 8, 8, 0, 1),
        (8, 8, 8, 10, 3),
        (8, 8, 129, 0, 17),
        (8, 8, 129, 10, 18),
    ],
)
def test_blocks_grow_as_the_peers(block_tokens: int, prompt: int, written: int, drafted: int, blocks: int) -> None:
    settings = BatchSettings(block_tokens=block_tokens, draft_tokens=drafted)
    entry = arriving("a", 0, prompt, 1_000)
    held = blocks_for(prompt, block_tokens)
    entry = replace(entry, state="writing", written_tokens=written, read_tokens=prompt + written - 1, blocks=held)
    plan = plan_step([entry], 1024 - held, settings)
    assert plan.entries[0].blocks - held == blocks
    assert plan.writings[0].room == drafted
    assert plan.free_blocks == 1024 - held - blocks


@pytest.mark.parametrize(
    ("tokens_before", "tokens_now", "blocks"),
    [  # test_decode, test_mm_prefix_caching, test_evict: blocks of 16 that more tokens take
        (0, 55, 4),
        (55, 59, 0),
        (59, 78, 1),
        (59, 64, 0),
        (0, 87, 6),
        (0, 48, 3),
        (0, 160, 10),
    ],
)
def test_blocks_of_16(tokens_before: int, tokens_now: int, blocks: int) -> None:
    assert blocks_for(tokens_now, 16) - blocks_for(tokens_before, 16) == blocks


@pytest.mark.parametrize(
    ("pool", "prompt_blocks", "taken"),
    [  # test_can_allocate_seq_group: a prompt of so many blocks of 16 and one block of answer; the rest is its negation
        (8, 1, True),
        (8, 6, True),
        (8, 7, True),
        (8, 8, False),
        (40, 38, True),
        (40, 40, False),
        (80, 78, True),
        (80, 80, False),
    ],
)
def test_what_fits_a_pool_is_the_peers(pool: int, prompt_blocks: int, taken: bool) -> None:
    settings = BatchSettings(block_tokens=16)
    entry = arriving("a", 0, 16 * prompt_blocks, 16)
    refused = refusal(entry, (), settings, pool, 0.0, 0.0)
    assert (refused is None) == taken
    plan = plan_step([entry], pool, settings)
    assert bool(plan.admitted) == taken
    assert [one.reason for one in plan.refused] == ([] if taken else ["too_large"])


@pytest.mark.parametrize(
    ("found", "prompt", "chunk", "start"),
    [
        (48, 53, 16, 48),  # test_prefill, the second request
        (48, 54, 16, 48),  # the third
        (0, 55, 16, 0),  # the first
        (32, 35, 16, 32),  # test_evict
        (16, 32, 16, 16),  # test_computed_blocks_not_evicted
        (32, 48, 16, 32),  # test_prefix_cache_stats_counted_once_for_retried_then_scheduled_request
        (32, 32, 16, 16),  # all of a prompt was found: the last token is scored all the same
        (33, 33, 16, 32),
        (15, 16, 16, 0),  # test_hash_block_correct_reuse: part of a block is nothing
    ],
)
def test_what_is_found_of_a_prompt(found: int, prompt: int, chunk: int, start: int) -> None:
    assert usable_prefix(found, prompt, PromptPasses(chunk)) == start
    settings = BatchSettings(chunk_tokens=chunk, block_tokens=16)
    plan = plan_step([arriving("a", 0, prompt, 8)], 10, settings, found_tokens=lambda entry: found)
    if start < prompt - 1:
        assert [(one.start, one.stop) for one in plan.readings] == [(start, prompt - 1)]
    else:
        assert [one.request_id for one in plan.writings] == ["a"]


@pytest.mark.parametrize(
    ("start", "allowance", "chunk", "first"),
    [  # of a prompt of 100 tokens to read
        (0, 30, 16, 16),  # test_mamba_align_scheduled_tokens_block_aligns
        (80, 20, 16, 16),  # ..._forces_last_chunk_no_eagle: 20 are left, and the whole block is read by itself
        (96, 4, 16, 4),  # ..._passes_through_tail
        (0, 30, 1, 1),  # test_default_policy_is_noop: any number may be read, in chunks of one
    ],
)
def test_chunks_end_where_the_peers_end(start: int, allowance: int, chunk: int, first: int) -> None:
    stop = reading_end(start, 100, 100, allowance, PromptPasses(chunk))
    begin, end = next(Reading("a", start, stop, 100, 100).passes(PromptPasses(chunk)))
    assert (begin, end - begin) == (start, first)


@pytest.mark.parametrize(
    ("drafted", "accepted", "told"),
    [  # test_schedule_spec_decoding_stats: drafts, drafted, accepted, accepted by place
        ((3,), (3,), (1, 3, 3, [1, 1, 1])),
        ((3,), (1,), (1, 3, 1, [1, 0, 0])),
        ((2, 1), (2, 1), (2, 3, 3, [2, 1])),
        ((1,), (1,), (1, 1, 1, [1])),
        ((), (), (0, 0, 0, [])),
        ((3, 3), (2, 1), (2, 6, 3, [2, 1, 0])),
    ],
)
def test_drafts_are_counted_as_the_peers(
    drafted: tuple[int, ...], accepted: tuple[int, ...], told: tuple[int, int, int, list[int]]
) -> None:
    metrics, batch = Metrics(), len(drafted)
    record = StepRecord(
        at_ms=1.0,
        milliseconds=1.0,
        rows_read=0,
        rows_written=batch + sum(drafted),
        tokens=batch + sum(accepted),
        batch=batch,
        waiting=0,
        blocks_used=0,
        drafts=tuple(zip(drafted, accepted, strict=True)),
    )
    metrics.stepped(record, {})
    snapshot = metrics.snapshot()
    count, tokens, kept, by_place = told
    assert len(record.drafts) == count
    assert [place.accepted for place in snapshot.by_place] == by_place
    assert sum(place.tested for place in snapshot.by_place) == tokens
    odds = snapshot.by_batch.get(batch)
    assert (odds.tested, odds.accepted) == (tokens, kept) if odds else tokens == 0


@pytest.mark.parametrize(
    ("max_tokens", "drafted", "written"),
    [  # test_stop_via_update_from_output, its third and fourth case: a draft that would go beyond the limit is cut
        (2, 2, 2),
        (2, 0, 1),
        (10, 2, 3),
        (10, 1, 2),
        (1, 2, 1),
    ],
)
def test_a_round_ends_at_the_limit(max_tokens: int, drafted: int, written: int) -> None:
    engine = TableEngine(BatchSettings(draft_tokens=2), 10)
    engine.add("a", 1, max_tokens)
    engine.step({"a": drafted})
    after = engine.done.get("a") or engine.scheduler.find("a")
    assert after is not None
    assert after.written_tokens == written
    assert ("a" in engine.done) == (written == max_tokens)


@pytest.mark.parametrize("count", [4, 10])
def test_requests_are_counted_as_they_come_and_go(count: int) -> None:
    """test_add_requests, test_finish_request and test_get_num_unfinished_requests; 0.4's abort of four."""
    engine = TableEngine(BatchSettings(), 100)
    for number in range(count):
        engine.add(str(number), 10, 16)
        assert engine.scheduler.waiting == number + 1
    for number in range(count):
        engine.cancel(str(number))
        assert engine.scheduler.waiting == count - number - 1
    engine.check()
