"""One step, planned: a pure function of the entries, the free blocks, the settings and the clock.

In this order: deadlines that have passed; blocks for those who are on, of whom some step aside where there are too
few; a row for each answer that is written; the prompt that is half read; those who wait, in the order of the policy,
unless somebody just stepped aside; and with what is left, blocks for drafts. Drafts come last, so no answer steps
aside, and nobody waits, for the sake of a draft.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from mlx_spec.batching.admission import (
    Refusal,
    blocks_for,
    needed_blocks,
    refused_as_expired,
    refused_as_too_large,
)
from mlx_spec.batching.budget import (
    TokenBudget,
    chunk_end,
    reading_end,
    reading_tokens,
    reading_within,
    usable_prefix,
)
from mlx_spec.batching.entry import Entry
from mlx_spec.batching.policies import order_of, reserves_all
from mlx_spec.batching.preemption import Preempted, let_on, step_aside, victim
from mlx_spec.batching.settings import BatchSettings
from mlx_spec.batching.step_plan import Reading, StepPlan, Writing

_MOST_TIMES: Final = 8
"""No step reads for longer than so many times the budget beside those who write."""


def plan_step(
    entries: Sequence[Entry],
    free_blocks: int,
    settings: BatchSettings,
    *,
    now_ms: float = 0.0,
    swap_room: int | None = None,
    reading_ms: Callable[[int], float] | None = None,
    found_tokens: Callable[[Entry], int] | None = None,
) -> StepPlan:
    """Plan one step of `entries`, in the order of arrival.

    `free_blocks` are those of the pool that nobody holds, or that can be had at once; `swap_room` the blocks that can
    be copied away, None for any number. `reading_ms` is what reading so many tokens takes; without it reading is
    bounded by tokens alone. `found_tokens` says how much of a text is kept from earlier ones, and is asked as it is let
    on.
    """
    step = _Step(entries, free_blocks, settings, swap_room, found_tokens)
    step.expire(now_ms)
    step.keep_on()
    step.write()
    step.read_on(reading_ms)
    step.let_on()
    writings = step.give_room()
    return StepPlan(
        entries=tuple(step.entries.values()),
        refused=tuple(step.refused),
        preempted=tuple(step.preempted),
        resumed=tuple(step.resumed),
        admitted=tuple(step.admitted),
        readings=tuple(step.readings),
        writings=writings,
        draft_rows=0 if step.is_full_in_time else min(step.budget.left, sum(writing.room for writing in writings)),
        free_blocks=step.free,
        utilisation=step.budget.utilisation,
    )


class _Step:
    """A step while it is planned. Lives for one call; `entries` by id, in the order of arrival."""

    def __init__(
        self,
        entries: Sequence[Entry],
        free_blocks: int,
        settings: BatchSettings,
        swap_room: int | None,
        found_tokens: Callable[[Entry], int] | None,
    ) -> None:
        self.entries = {entry.request_id: entry for entry in entries}
        self.total = free_blocks + sum(entry.blocks for entry in entries)
        self.free, self.swap_room = free_blocks, swap_room
        self.settings, self.found_tokens = settings, found_tokens
        self.key = order_of(settings.policy, settings.patience)
        self.budget = TokenBudget(settings.step_tokens)
        self.allowance = 0  # tokens that may still be read in this step
        self.beside_writers = 0  # and where somebody writes
        self.half_read = False  # whether a prompt is left half read: no other is begun
        self.newcomers = False  # whether somebody has no words yet: they wait for no prompt that can be begun later
        self.refused: list[Refusal] = []
        self.preempted: list[Preempted] = []
        self.resumed: list[str] = []
        self.admitted: list[str] = []
        self.readings: list[Reading] = []

    @property
    def is_full_in_time(self) -> bool:
        """Whether reading takes the time that drafts would: who waits for it, and who writes beside it, wait for them
        too."""
        return self.settings.prefill_budget_ms is not None and bool(self.readings)

    def on(self) -> list[Entry]:
        """Those who are on."""
        return [entry for entry in self.entries.values() if entry.is_on]

    def expire(self, now_ms: float) -> None:
        """Drop who waits in vain: its deadline has passed, or the pool has become too small for it."""
        for entry in list(self.entries.values()):
            refused = refused_as_expired(entry, now_ms) if entry.state == "waiting" else None
            refused = refused or refused_as_too_large(entry, self.settings, self.total)
            if refused is not None:
                self._drop(entry, refused)

    def keep_on(self) -> None:
        """Give those who are on the blocks that they need in this step, and no more; where there are too few, who has
        the least work done steps aside, and so on. One alone always fits."""
        on = self.on()
        needs = {entry.request_id: needed_blocks(entry, self.settings) for entry in on}
        short = sum(needs.values()) - sum(entry.blocks for entry in on) - self.free
        while short > 0:
            leaving = victim(on)
            on.remove(leaving)
            short -= needs.pop(leaving.request_id)
            aside, told = step_aside(leaving, self.settings.preemption, self.settings.block_tokens, self.swap_room)
            if self.swap_room is not None:
                self.swap_room -= told.stored_blocks
            self.entries[leaving.request_id] = aside
            self.preempted.append(told)
            self.free += told.blocks
        for entry in on:
            self._hold(entry, needs[entry.request_id])

    def write(self) -> None:
        """A row for each answer that is written. There always is one: `step_tokens` allows for it."""
        for entry in self.entries.values():
            if entry.state == "writing":
                self.budget.allocate(entry.request_id, 1)

    def read_on(self, reading_ms: Callable[[int], float] | None) -> None:
        """Say how much is read in this step, and read on where a prompt is half read. A row for each answer that may
        still be let on is left."""
        settings = self.settings
        self.allowance = self.beside_writers = settings.step_tokens - settings.max_batch
        if settings.prefill_budget_ms is not None and reading_ms is not None:
            least = settings.passes.least
            budget_ms = settings.prefill_budget_ms * self._times_the_budget()
            self.beside_writers = reading_tokens(budget_ms, reading_ms, least, self.allowance)
            self.newcomers = any(one.state == "writing" and not one.written_tokens for one in self.entries.values())
        if self.budget.used:
            self.allowance = self.beside_writers
        for entry in self.entries.values():
            if entry.state == "reading":
                if self.budget.used and settings.prefill_budget_ms is not None and reading_ms is not None:
                    self._bound_in_time(entry, settings.prefill_budget_ms, reading_ms)
                self._read(entry)

    def _bound_in_time(self, entry: Entry, budget_ms: float, reading_ms: Callable[[int], float]) -> None:
        """Of what is half read, several passes take longer than one over as many tokens."""
        start, prompt_end, end = entry.read_tokens, entry.prompt_tokens - 1, entry.to_read
        tokens = reading_within(start, prompt_end, end, budget_ms, reading_ms, self.settings.passes, entry.turns)
        self.allowance = self.beside_writers = min(self.allowance, tokens)

    def _times_the_budget(self) -> int:
        """Prompts that are read in one pass hold up those who write for less than one by one, though once for longer:
        the more so, the more wait for each who writes. Not while a prompt is half read, of which there is more."""
        states = [entry.state for entry in self.entries.values()]
        if "reading" in states:
            return 1
        waiting = sum(entry.waits for entry in self.entries.values())
        return max(1, min(waiting, 2), min(waiting // max(1, states.count("writing")), _MOST_TIMES))

    def let_on(self) -> None:
        """Let on those who wait, the first first, until one does not fit. Where somebody has just stepped aside there
        is no room for anybody."""
        places = self.settings.max_batch - len(self.on())
        waiting = [entry for entry in self.entries.values() if entry.waits]
        while places > 0 and waiting and not self.preempted:
            first = min(waiting, key=self.key)
            if not self._let_on(first):
                return
            places -= 1
            waiting.remove(first)
            waiting = [self._overtaken_by(first, entry) for entry in waiting]

    def give_room(self) -> tuple[Writing, ...]:
        """A round for each answer with a row, and of the blocks that are left those that its drafts may need."""
        writings = []
        for entry in list(self.entries.values()):
            if entry.state == "writing":
                # A round writes one token more than it drafts.
                drafts = min(self.settings.draft_tokens, entry.max_tokens - entry.written_tokens - 1)
                wanted = blocks_for(entry.known_tokens + drafts, self.settings.block_tokens)
                extra = max(0, min(wanted - entry.blocks, self.free))
                self._hold(entry, entry.blocks + extra)
                held = (entry.blocks + extra) * self.settings.block_tokens
                writings.append(Writing(entry.request_id, min(drafts, held - entry.known_tokens)))
        return tuple(writings)

    def _let_on(self, entry: Entry) -> bool:
        """Let an entry on, if there are blocks for it and its reading can begin; a free place is given."""
        needed, on = needed_blocks(entry, self.settings), len(self.on())
        # Who is on may need another block soon; who has reserved all of them will not.
        spare = 0 if reserves_all(self.settings.policy) else self.settings.spare_blocks * on
        if needed + spare > self.free:
            return False
        ready = let_on(entry, needed, self._read_already(entry))
        if ready.state == "reading" and (self.newcomers or not self._read(ready)):
            return False
        if ready.state == "writing" and not self.budget.allocate(entry.request_id, 1):
            return False
        self.entries[entry.request_id] = ready
        self.free -= needed
        (self.resumed if entry.stepped_aside else self.admitted).append(entry.request_id)
        return True

    def _read_already(self, entry: Entry) -> int:
        """How much of its text is there: what was swapped, or what was found of its prompt."""
        if entry.state == "swapped" or self.found_tokens is None:
            return entry.read_tokens
        return usable_prefix(self.found_tokens(entry), entry.prompt_tokens, self.settings.passes, entry.turns)

    def _read(self, entry: Entry) -> bool:
        """Read a text as far as the allowance goes. False where it cannot even be begun."""
        if self.half_read:
            return False
        start, prompt_end, end = entry.read_tokens, entry.prompt_tokens - 1, entry.to_read
        allowance, passes = self.allowance, self.settings.passes
        if not self.readings:  # one pass at least, as else nothing would ever be read
            allowance = max(allowance, chunk_end(start, prompt_end, end, passes, entry.turns) - start)
        stop = reading_end(start, prompt_end, end, allowance, passes, entry.turns)
        if stop == start or not self.budget.allocate(entry.request_id, stop - start):
            return False
        self.allowance -= stop - start
        self.beside_writers -= stop - start
        if stop == end:  # who was read is a writer, whose first words wait for nobody else's prompt
            self.allowance = max(0, min(self.allowance, self.beside_writers))
        self.half_read = stop < end
        self.readings.append(Reading(entry.request_id, start, stop, prompt_end, end, entry.turns))
        return True

    def _overtaken_by(self, first: Entry, entry: Entry) -> Entry:
        if entry.arrival < first.arrival:
            entry = self.entries[entry.request_id] = replace(entry, overtaken=entry.overtaken + 1)
        return entry

    def _hold(self, entry: Entry, blocks: int) -> None:
        if blocks != entry.blocks:
            self.free -= blocks - entry.blocks
            self.entries[entry.request_id] = replace(entry, blocks=blocks)

    def _drop(self, entry: Entry, refused: Refusal) -> None:
        self.free += entry.blocks
        self.refused.append(refused)
        del self.entries[entry.request_id]
