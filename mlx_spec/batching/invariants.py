"""What must hold of entries and plans, whatever arrives, leaves and runs out: AssertionError, for tests."""

from collections.abc import Sequence
from dataclasses import replace

from mlx_spec.batching.admission import blocks_for
from mlx_spec.batching.entry import Entry
from mlx_spec.batching.policies import order_of
from mlx_spec.batching.settings import BatchSettings
from mlx_spec.batching.step_plan import StepPlan


def check_entries(
    entries: Sequence[Entry],
    settings: BatchSettings,
    total_blocks: int,
    free_blocks: int,
    swap_blocks: int | None = None,
) -> None:
    """Entries between two steps, when whatever was planned is done."""
    arrivals = [entry.arrival for entry in entries]
    assert arrivals == sorted(set(arrivals)), "entries are not in the order of arrival"
    assert len({entry.request_id for entry in entries}) == len(entries), "a request is there twice"
    held = stored = on = reading = waiting = 0
    for entry in entries:
        _check_entry(entry, settings)
        held += entry.blocks
        stored += entry.stored_blocks
        on += entry.is_on
        reading += entry.state == "reading"
        waiting += entry.state == "waiting"
    assert free_blocks >= 0, "more blocks are held than there are"
    assert held + free_blocks == total_blocks, f"{held} blocks are held and {free_blocks} free, of {total_blocks}"
    assert swap_blocks is None or stored <= swap_blocks, f"{stored} blocks are stored, of {swap_blocks}"
    assert on <= settings.max_batch, f"{on} answers are on"
    assert reading <= 1, f"{reading} prompts are half read"
    # Whoever finds a place free hardly waits: they are let on with the next step.
    assert waiting + on <= settings.max_waiting + settings.max_batch, f"{waiting} requests wait"


def _check_entry(entry: Entry, settings: BatchSettings) -> None:
    name = entry.request_id
    assert entry.state != "done", f"{name} is done and still there"
    assert entry.overtaken <= settings.patience, f"{name} was overtaken {entry.overtaken} times"
    assert 0 <= entry.read_tokens <= entry.to_read, f"{name} has read {entry.read_tokens} of {entry.to_read}"
    assert 0 <= entry.written_tokens < entry.max_tokens, f"{name} has written {entry.written_tokens}"
    assert (entry.read_tokens == entry.to_read) or entry.state != "writing", f"{name} is written before it is read"
    assert (entry.read_tokens < entry.to_read) or entry.state != "reading", f"{name} is read for nothing"
    if entry.is_on:
        enough = blocks_for(entry.read_tokens, settings.block_tokens)
        assert entry.blocks >= enough, f"{name} has {entry.blocks} blocks and needs {enough}"
    else:
        assert entry.blocks == 0, f"{name} holds {entry.blocks} blocks and is {entry.state}"
    stored = blocks_for(entry.read_tokens, settings.block_tokens) if entry.state == "swapped" else 0
    assert entry.stored_blocks == stored, f"{name} has {entry.stored_blocks} blocks stored, and needs {stored}"
    assert entry.read_tokens == 0 or entry.state not in ("waiting", "recompute"), f"{name} waits with tokens read"


def check_plan(before: Sequence[Entry], plan: StepPlan, settings: BatchSettings, free_blocks: int) -> None:
    """A step that was planned of the entries `before`, with so many blocks free."""
    after = {entry.request_id: entry for entry in plan.entries}
    assert len(after) == len(plan.entries), "a request is there twice"
    gone = {refused.request_id for refused in plan.refused}
    assert after.keys() | gone == {entry.request_id for entry in before}, "a request was lost, or came from nowhere"
    assert not after.keys() & gone, "a request is refused and goes on"
    held = sum(entry.blocks for entry in before), sum(entry.blocks for entry in plan.entries)
    assert plan.free_blocks >= 0, "more blocks are held than there are"
    assert held[0] + free_blocks == held[1] + plan.free_blocks, "a block was lost, or is held twice"
    assert sum(entry.is_on for entry in plan.entries) <= settings.max_batch, "more answers are on than may"
    _check_rows(plan, after, settings)
    _check_order(before, plan, settings)


def _check_rows(plan: StepPlan, after: dict[str, Entry], settings: BatchSettings) -> None:
    read, written = [one.request_id for one in plan.readings], [one.request_id for one in plan.writings]
    assert len({*read, *written}) == len(read) + len(written), "an answer is read and written, or twice"
    used = plan.rows_read + len(written)
    assert used + plan.draft_rows <= settings.step_tokens, f"{used} + {plan.draft_rows} rows are over the budget"
    assert abs(plan.utilisation - used / settings.step_tokens) < 1e-9, "the budget counts other rows than there are"
    assert all(one.stop == one.end for one in plan.readings[:-1]), "a second prompt was begun beside a half read one"
    for reading in plan.readings:
        entry = after[reading.request_id]
        assert entry.state == "reading", f"{reading.request_id} is read and is {entry.state}"
        assert entry.read_tokens == reading.start < reading.stop <= reading.end == entry.to_read
        for start, stop in reading.passes(settings.passes):
            ends = stop % settings.passes.tokens(start) == 0 or stop in (
                *reading.turns,
                reading.prompt_end,
                reading.end,
            )
            assert ends, f"a chunk of {reading.request_id} is neither whole nor the prompt's end"
            assert not start < reading.prompt_end < stop, "a pass reads prompt and own words"
    for writing in plan.writings:
        entry = after[writing.request_id]
        assert entry.state == "writing", f"{writing.request_id} is written and is {entry.state}"
        assert 0 <= writing.room < entry.max_tokens - entry.written_tokens
        assert entry.known_tokens + writing.room <= entry.blocks * settings.block_tokens, "a draft has no place"
    writing_on = {entry.request_id for entry in plan.entries if entry.state == "writing"}
    assert writing_on == set(written), "an answer that could be written was left out"


def _check_order(before: Sequence[Entry], plan: StepPlan, settings: BatchSettings) -> None:
    """Nobody was let on while another stood before it, and all who were overtaken have been told."""
    gone = {refused.request_id for refused in plan.refused}
    aside = {preempted.request_id for preempted in plan.preempted}
    let_on = [one.request_id for one in plan.entries if one.request_id in {*plan.admitted, *plan.resumed}]
    assert not (aside and let_on), "somebody was let on in a step in which another stepped aside"
    key = order_of(settings.policy, settings.patience)
    waiting = {entry.request_id: entry for entry in before if entry.waits and entry.request_id not in gone}
    while let_on:
        first = min(waiting.values(), key=key)
        assert first.request_id in let_on, f"{first.request_id} stood first, and another was let on"
        let_on.remove(first.request_id)
        del waiting[first.request_id]
        for name, entry in waiting.items():
            if entry.arrival < first.arrival:
                waiting[name] = replace(entry, overtaken=entry.overtaken + 1)
    for entry in plan.entries:
        if entry.request_id in waiting:
            assert entry.overtaken == waiting[entry.request_id].overtaken, f"{entry.request_id} does not age"
