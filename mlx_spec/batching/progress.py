"""What a step that was carried out makes of the entries."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from mlx_spec.batching.entry import Entry
from mlx_spec.batching.step_plan import StepPlan


def advance(
    entries: Iterable[Entry], plan: StepPlan, written: Mapping[str, int], ended: Collection[str]
) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """The entries after a step, and those whose answers are done.

    `written` holds how many tokens each round wrote, `ended` which answers are at their end, or failed. What was
    planned for an entry that is gone (cancelled meanwhile) counts for nothing. Raises ValueError where a round wrote
    more than it had room for, or none and did not end.
    """
    read = {reading.request_id: reading.stop for reading in plan.readings}
    rooms = {writing.request_id: writing.room for writing in plan.writings}
    going_on, done = [], []
    for entry in entries:
        if (stop := read.get(entry.request_id)) is not None:
            entry = replace(entry, read_tokens=stop, state="writing" if stop == entry.to_read else "reading")
        elif (room := rooms.get(entry.request_id)) is not None:
            entry = _after_round(entry, written.get(entry.request_id, 0), room, entry.request_id in ended)
        if entry.request_id in ended or entry.written_tokens >= entry.max_tokens:
            done.append(replace(entry, state="done"))
        else:
            going_on.append(entry)
    return tuple(going_on), tuple(done)


def _after_round(entry: Entry, count: int, room: int, ended: bool) -> Entry:
    if not (0 if ended else 1) <= count <= room + 1:
        raise ValueError(
            f"{entry.request_id} wrote {count} tokens in a round that had room for 1 to {room + 1}: report what it "
            "kept, and end an answer that cannot go on."
        )
    return replace(entry, written_tokens=entry.written_tokens + count, read_tokens=entry.read_tokens + count)
