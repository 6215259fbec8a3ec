"""What an answer needs of the pool, and who is refused: at its arrival, or where its deadline passes while it waits."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mlx_spec.batching.entry import PRIORITIES, Entry, Priority
from mlx_spec.batching.pace import whole_seconds
from mlx_spec.batching.policies import reserves_all
from mlx_spec.batching.settings import BatchSettings
from mlx_spec.errors import ConfigError

RefusalReason = Literal["full", "too_large", "expired"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is not answered: nothing was computed for it. `retry_after_s` is None where waiting is no help."""

    request_id: str
    reason: RefusalReason
    message: str
    retry_after_s: int | None = None


def arriving(
    request_id: str,
    arrival: int,
    prompt_tokens: int,
    max_tokens: int,
    *,
    now_ms: float = 0.0,
    priority: Priority = "normal",
    deadline_ms: float | None = None,
    turns: tuple[int, ...] = (),
) -> Entry:
    """A request as it arrives; `deadline_ms` counts from now. Raises ConfigError."""
    for field, value in (("prompt_tokens", prompt_tokens), ("max_tokens", max_tokens)):
        if value < 1:
            raise ConfigError(field, value, "a whole number of at least 1")
    if priority not in PRIORITIES:
        raise ConfigError("priority", priority, "one of " + ", ".join(PRIORITIES))
    if deadline_ms is not None and not math.isfinite(deadline_ms):
        raise ConfigError("deadline_ms", deadline_ms, "a finite number of milliseconds")
    return Entry(
        request_id=request_id,
        arrival=arrival,
        prompt_tokens=prompt_tokens,
        max_tokens=max_tokens,
        turns=turns,
        arrived_ms=now_ms,
        priority=priority,
        due_ms=None if deadline_ms is None else now_ms + deadline_ms,
    )


def blocks_for(tokens: int, block_tokens: int) -> int:
    """Blocks that so many tokens take."""
    return -(-tokens // block_tokens)


def most_blocks(entry: Entry, settings: BatchSettings) -> int:
    """Blocks that an answer may ever need: the newest token is never read."""
    return blocks_for(entry.prompt_tokens + entry.max_tokens - 1, settings.block_tokens)


def needed_blocks(entry: Entry, settings: BatchSettings) -> int:
    """Blocks that an answer needs to be on: for all of its text, so that it is read without growing and its next round
    has a place for the newest token; under a policy that reserves, all that it may ever need."""
    if reserves_all(settings.policy):
        return most_blocks(entry, settings)
    return blocks_for(entry.known_tokens, settings.block_tokens)


def refusal(
    entry: Entry, others: Iterable[Entry], settings: BatchSettings, total_blocks: int, now_ms: float, pace_ms: float
) -> Refusal | None:
    """Why an arriving request is refused, if it is. `pace_ms` is the usual time between two that are let on: so long
    it takes until there is a place among those who wait."""
    if (too_large := refused_as_too_large(entry, settings, total_blocks)) is not None:
        return too_large
    if (expired := refused_as_expired(entry, now_ms)) is not None:
        return expired
    waiting = on = 0
    for other in others:
        waiting += other.state == "waiting"
        on += other.state != "waiting"
    # Who finds a free slot hardly waits, even where nobody may; so do those who have come just before, since the last
    # step.
    if waiting < settings.max_waiting + max(0, settings.max_batch - on):
        return None
    seconds = whole_seconds(pace_ms)
    return Refusal(
        entry.request_id,
        "full",
        f"{on} answers are under way and {waiting} requests wait, as many as may: try again in {seconds} s.",
        seconds,
    )


def refused_as_expired(entry: Entry, now_ms: float) -> Refusal | None:
    """A deadline that has passed before anything was computed. Of an answer that was begun it decides the order, and
    ends nothing: somebody is reading it."""
    if entry.due_ms is None or entry.due_ms > now_ms:
        return None
    waited_s = (now_ms - entry.arrived_ms) / 1000.0
    message = f"The deadline passed after {waited_s:.1f} s of waiting, before the answer was begun: allow more time."
    return Refusal(entry.request_id, "expired", message)


def refused_as_too_large(entry: Entry, settings: BatchSettings, total_blocks: int) -> Refusal | None:
    """A text that would not fit if it were alone."""
    if most_blocks(entry, settings) <= total_blocks:
        return None
    room = total_blocks * settings.block_tokens
    message = (
        f"The prompt has {entry.prompt_tokens:,} tokens and the answer up to {entry.max_tokens:,}, and there is memory "
        f"for {room:,} in all: ask for a shorter answer, or shorten the prompt."
    )
    return Refusal(entry.request_id, "too_large", message)
