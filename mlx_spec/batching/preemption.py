"""Who steps aside when blocks run out, how, and how it comes back. Nothing that is kept of it changes its words.

The *victim* has the least work done: the fewest tokens written, of those the fewest read, of those the last arrival.
So a newcomer steps aside before an answer that somebody is reading, and the answer with the most work done never does:
it ends, and its blocks come free. A victim keeps its number of arrival, its priority, its deadline and its age, and at
the same rank it comes back before newcomers.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mlx_spec.batching.admission import blocks_for
from mlx_spec.batching.entry import Entry
from mlx_spec.batching.settings import PreemptionName


@dataclass(frozen=True, slots=True)
class Preempted:
    """Who stepped aside and how: `blocks` it gives back, `stored_blocks` of them were copied away, and `lost_tokens`
    it has to read again."""

    request_id: str
    how: PreemptionName
    blocks: int
    stored_blocks: int
    lost_tokens: int


def victim(on: Iterable[Entry]) -> Entry:
    """Who steps aside first of those who are on."""
    return min(on, key=lambda entry: (entry.written_tokens, entry.read_tokens, -entry.arrival))


def step_aside(entry: Entry, how: PreemptionName, block_tokens: int, swap_room: int | None) -> tuple[Entry, Preempted]:
    """The entry without its blocks, and what became of them. Where it should be swapped and there is no room for it,
    it is recomputed; None is room for all."""
    stored = blocks_for(entry.read_tokens, block_tokens)
    if how == "swap" and swap_room is not None and stored > swap_room:
        how = "recompute"
    if how == "swap":
        aside = replace(entry, state="swapped", blocks=0, stored_blocks=stored, preemptions=entry.preemptions + 1)
        return aside, Preempted(entry.request_id, how, entry.blocks, stored, 0)
    lost = entry.read_tokens
    aside = replace(
        entry,
        state="recompute",
        blocks=0,
        read_tokens=0,
        preemptions=entry.preemptions + 1,
        recomputed_tokens=entry.recomputed_tokens + lost,
    )
    return aside, Preempted(entry.request_id, how, entry.blocks, 0, lost)


def lost(entry: Entry) -> Entry:
    """A swapped entry whose copy cannot be had back: its text is read again."""
    again = entry.recomputed_tokens + entry.read_tokens
    return replace(entry, state="recompute", read_tokens=0, stored_blocks=0, recomputed_tokens=again)


def let_on(entry: Entry, blocks: int, read_tokens: int) -> Entry:
    """The entry with its blocks, where so much of its text is there: it is read on, or written on where all is."""
    return replace(
        entry,
        state="writing" if read_tokens == entry.to_read else "reading",
        blocks=blocks,
        stored_blocks=0,
        read_tokens=read_tokens,
    )
