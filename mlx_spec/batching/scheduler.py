"""Keeps the entries between the steps: what arrives, goes on, is cancelled and ends. Decides nothing itself."""

from collections.abc import Callable, Collection, Mapping

from mlx_spec.batching.admission import Refusal, arriving, refusal
from mlx_spec.batching.entry import Entry, Priority
from mlx_spec.batching.invariants import check_entries
from mlx_spec.batching.pace import Pace
from mlx_spec.batching.policies import order_of
from mlx_spec.batching.preemption import lost
from mlx_spec.batching.progress import advance
from mlx_spec.batching.settings import BatchSettings
from mlx_spec.batching.step import plan_step
from mlx_spec.batching.step_plan import StepPlan
from mlx_spec.errors import ConfigError


class Scheduler:
    """The entries of one engine. Belongs to one thread; the clock is whoever calls it.

    `plan` says what a step does, and takes it for done as far as blocks go; `finish` says what came of it. Between the
    two requests may arrive and be cancelled. With `swap_blocks` only so many blocks can be copied away at a time.
    """

    def __init__(self, settings: BatchSettings, total_blocks: int, *, swap_blocks: int | None = None) -> None:
        self.settings, self.total_blocks, self.swap_blocks = settings, total_blocks, swap_blocks
        self.entries: tuple[Entry, ...] = ()
        """Those who are not done, in the order of arrival."""
        self._arrivals = 0
        self._pace = Pace()  # of those who are let on

    @property
    def free_blocks(self) -> int:
        """Blocks of the pool that no entry holds."""
        return self.total_blocks - sum(entry.blocks for entry in self.entries)

    @property
    def swap_room(self) -> int | None:
        """Blocks that can still be copied away; None for any number."""
        if self.swap_blocks is None:
            return None
        return self.swap_blocks - sum(entry.stored_blocks for entry in self.entries)

    @property
    def waiting(self) -> int:
        """How many have never been let on."""
        return sum(entry.state == "waiting" for entry in self.entries)

    def add(
        self,
        request_id: str,
        prompt_tokens: int,
        max_tokens: int,
        *,
        now_ms: float,
        priority: Priority = "normal",
        deadline_ms: float | None = None,
        turns: tuple[int, ...] = (),
    ) -> Refusal | None:
        """A request arrives: it waits, or is refused. `deadline_ms` counts from now. Raises ConfigError."""
        if self.find(request_id) is not None:
            raise ConfigError("request_id", request_id, "an id that no request under way has")
        entry = arriving(
            request_id,
            self._arrivals,
            prompt_tokens,
            max_tokens,
            now_ms=now_ms,
            priority=priority,
            deadline_ms=deadline_ms,
            turns=turns,
        )
        refused = refusal(entry, self.entries, self.settings, self.total_blocks, now_ms, self._pace.interval_ms)
        if refused is None:
            self._arrivals += 1
            self.entries = (*self.entries, entry)
        return refused

    def plan(
        self,
        *,
        now_ms: float,
        reading_ms: Callable[[int], float] | None = None,
        found_tokens: Callable[[Entry], int] | None = None,
    ) -> StepPlan:
        """The next step; see `plan_step`. Who is refused by it is gone."""
        plan = plan_step(
            self.entries,
            self.free_blocks,
            self.settings,
            now_ms=now_ms,
            swap_room=self.swap_room,
            reading_ms=reading_ms,
            found_tokens=found_tokens,
        )
        self.entries = plan.entries
        for _ in plan.admitted:
            self._pace.note(now_ms)
        return plan

    def finish(self, plan: StepPlan, written: Mapping[str, int], ended: Collection[str] = ()) -> tuple[Entry, ...]:
        """A step was carried out: how many tokens each round wrote, and which answers ended. Gives those who are done,
        whose blocks are free now. Raises ValueError where that cannot be."""
        self.entries, done = advance(self.entries, plan, written, ended)
        return done

    def cancel(self, request_id: str) -> Entry | None:
        """Forget a request, whatever it is doing. Gives what it held; None where there is none (any more)."""
        cancelled = self.find(request_id)
        self.entries = tuple(entry for entry in self.entries if entry is not cancelled)
        return cancelled

    def lose(self, request_id: str) -> bool:
        """What was swapped out of a request cannot be had back: it will be read again. Whether there was any."""
        entry = self.find(request_id)
        if entry is None or entry.state != "swapped":
            return False
        self.entries = tuple(lost(other) if other is entry else other for other in self.entries)
        return True

    def find(self, request_id: str) -> Entry | None:
        """The entry of a request that is not done."""
        return next((entry for entry in self.entries if entry.request_id == request_id), None)

    def ahead(self) -> dict[str, int]:
        """How many would be let on before each of those who wait, as things are."""
        waits = [entry for entry in self.entries if entry.waits]
        in_order = sorted(waits, key=order_of(self.settings.policy, self.settings.patience))
        return {entry.request_id: number for number, entry in enumerate(in_order)}

    def check(self) -> None:
        """Raise AssertionError where what must hold between steps does not."""
        check_entries(self.entries, self.settings, self.total_blocks, self.free_blocks, self.swap_blocks)
