"""An engine whose model is a table: how many tokens each round writes, and when it ends. Its pool hands out real ids,
so that a block held twice, or by nobody, is seen. No model, no clock but its own."""

import random
from collections.abc import Callable, Mapping

from mlx_spec.batching.entry import PRIORITIES, Entry
from mlx_spec.batching.invariants import check_plan
from mlx_spec.batching.scheduler import Scheduler
from mlx_spec.batching.settings import BatchSettings
from mlx_spec.batching.step_plan import StepPlan


class TablePool:
    """Blocks by their numbers, those of the memory that is swapped to likewise."""

    def __init__(self, blocks: int, stored: int) -> None:
        self._all, self._all_stored = set(range(blocks)), set(range(stored))
        self.free, self.free_stored = set(self._all), set(self._all_stored)
        self.held: dict[str, list[int]] = {}
        self.stored: dict[str, list[int]] = {}

    def hold(self, request_id: str, count: int) -> None:
        """Give a request so many blocks in all."""
        held = self.held.setdefault(request_id, [])
        while len(held) > count:
            self.free.add(held.pop())
        while len(held) < count:
            held.append(self.free.pop())  # KeyError: more was promised than there is

    def store(self, request_id: str, count: int) -> None:
        """Have a request keep so many blocks elsewhere."""
        stored = self.stored.setdefault(request_id, [])
        while len(stored) > count:
            self.free_stored.add(stored.pop())
        while len(stored) < count:
            stored.append(self.free_stored.pop())

    def forget(self, request_id: str) -> None:
        self.hold(request_id, 0)
        self.store(request_id, 0)
        del self.held[request_id], self.stored[request_id]

    def check(self) -> None:
        """Each block is in one place."""
        places = [*self.free, *(block for held in self.held.values() for block in held)]
        assert len(places) == len(self._all)
        assert set(places) == self._all
        places = [*self.free_stored, *(block for stored in self.stored.values() for block in stored)]
        assert len(places) == len(self._all_stored)
        assert set(places) == self._all_stored


class TableEngine:
    """Carries out what the scheduler plans, and checks every step. `ends_at` says of each request how many tokens its
    answer has; what is not named there goes on to its limit."""

    def __init__(self, settings: BatchSettings, blocks: int, *, stored: int = 10_000, limit_swap: bool = True) -> None:
        self.settings = settings
        self.scheduler = Scheduler(settings, blocks, swap_blocks=stored if limit_swap else None)
        self.pool = TablePool(blocks, stored)
        self.ends_at: dict[str, int] = {}
        self.done: dict[str, Entry] = {}
        self.refused: dict[str, str] = {}
        self.let_on: list[str] = []
        self.found: Callable[[Entry], int] | None = None  # of a text, how much is kept from earlier ones
        self.now_ms = 0.0

    def add(self, request_id: str, prompt_tokens: int, max_tokens: int, **options: object) -> bool:
        """A request arrives; whether it is taken in."""
        refused = self.scheduler.add(request_id, prompt_tokens, max_tokens, now_ms=self.now_ms, **options)  # type: ignore[arg-type]
        if refused is not None:
            self.refused[request_id] = refused.reason
        return refused is None

    def cancel(self, request_id: str) -> bool:
        """Whether there was anything to cancel. Its blocks are free at once."""
        if (cancelled := self.scheduler.cancel(request_id)) is None:
            return False
        self._forget(cancelled.request_id)
        return True

    def lose(self, request_id: str) -> bool:
        """Whether a copy was lost. Its blocks elsewhere are free."""
        if not self.scheduler.lose(request_id):
            return False
        self.pool.store(request_id, 0)
        return True

    def step(self, drafts: Mapping[str, int] | None = None) -> StepPlan:
        """Plan a step, carry it out, and check both. Each round accepts as many `drafts` as it has room for."""
        plan = self.plan()
        self.carry_out(plan, drafts)
        return plan

    def plan(self) -> StepPlan:
        before, free = self.scheduler.entries, self.scheduler.free_blocks
        plan = self.scheduler.plan(now_ms=self.now_ms, reading_ms=float, found_tokens=self.found)
        check_plan(before, plan, self.settings, free)
        self.let_on += [*plan.resumed, *plan.admitted]
        for refused in plan.refused:
            self.refused[refused.request_id] = refused.reason
            self._forget(refused.request_id)
        by_id = {entry.request_id: entry for entry in plan.entries}
        for preempted in plan.preempted:
            self.pool.hold(preempted.request_id, 0)
            self.pool.store(preempted.request_id, by_id[preempted.request_id].stored_blocks)
        for entry in sorted(
            plan.entries, key=lambda entry: entry.blocks - len(self.pool.held.get(entry.request_id, ()))
        ):
            self.pool.hold(entry.request_id, entry.blocks)
            self.pool.store(entry.request_id, entry.stored_blocks)
        return plan

    def carry_out(self, plan: StepPlan, drafts: Mapping[str, int] | None = None) -> None:
        written, ended = {}, set()
        left = plan.draft_rows
        for writing in plan.writings:
            if (entry := self.scheduler.find(writing.request_id)) is None:
                continue  # cancelled since
            accepted = min(writing.room, left, (drafts or {}).get(writing.request_id, 0))
            left -= accepted
            end = self.ends_at.get(writing.request_id, entry.max_tokens)
            written[writing.request_id] = min(accepted + 1, end - entry.written_tokens)
            if entry.written_tokens + written[writing.request_id] == end:
                ended.add(writing.request_id)
        for entry in self.scheduler.finish(plan, written, ended):
            self.done[entry.request_id] = entry
            self._forget(entry.request_id)
        self.now_ms += 1.0
        self.check()

    def check(self) -> None:
        self.scheduler.check()
        self.pool.check()
        for entry in self.scheduler.entries:
            assert len(self.pool.held.get(entry.request_id, ())) == entry.blocks
            assert len(self.pool.stored.get(entry.request_id, ())) == entry.stored_blocks
        assert self.pool.held.keys() <= {entry.request_id for entry in self.scheduler.entries}

    def _forget(self, request_id: str) -> None:
        if request_id in self.pool.held:
            self.pool.forget(request_id)


class RandomLife:
    """Requests that come, grow, leave and end at random, from a seed, on an engine of their own."""

    def __init__(self, engine: TableEngine, seed: int, *, loses: bool = True) -> None:
        self.engine, self._random, self._count, self._loses = engine, random.Random(seed), 0, loses
        self.events = {"cancelled": 0, "cancelled_amid": 0, "lost": 0}
        engine.found = lambda entry: 7 * entry.arrival % 50

    def step(self) -> StepPlan:
        """Maybe arrivals, maybe somebody leaves, and a step, during which somebody may leave."""
        engine, chance = self.engine, self._random.random
        if chance() < 0.35:
            self._arrive()
        if chance() < 0.04:
            self.events["cancelled"] += self._cancel()
        if self._loses and chance() < 0.1:
            self.events["lost"] += any(engine.lose(entry.request_id) for entry in engine.scheduler.entries)
        plan = engine.plan()
        if chance() < 0.02:
            self.events["cancelled_amid"] += self._cancel()
        engine.carry_out(plan, {one.request_id: self._random.randrange(5) for one in plan.writings})
        return plan

    def _arrive(self) -> None:
        draw = self._random
        name, max_tokens = f"r{self._count}", draw.randint(1, 24)
        self._count += 1
        self.engine.ends_at[name] = draw.randint(1, max_tokens)
        self.engine.add(
            name,
            draw.randint(1, 50),
            max_tokens,
            priority=draw.choice(PRIORITIES),
            deadline_ms=draw.choice([None, draw.uniform(-2.0, 60.0)]),
        )

    def _cancel(self) -> bool:
        entries = self.engine.scheduler.entries
        return bool(entries) and self.engine.cancel(self._random.choice(entries).request_id)
