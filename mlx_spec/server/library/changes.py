"""How all downloads stand, as a stream: now, and after every change."""

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

import anyio
from starlette.concurrency import run_in_threadpool

if TYPE_CHECKING:
    from mlx_spec.models.library.fetching.downloads import Downloads

# Bytes arrive by the hundred pieces a second, and nobody reads so fast.
_GAP_S: Final = 0.1
# Speeds fall and waits run down without anything else changing.
_CLOCK_S: Final = 0.5


async def changes_of(downloads: "Downloads", ended: anyio.Event) -> AsyncIterator[str]:
    """The list, now and after every change, until it is `ended`. It goes by the change itself, not by how the list
    looked before: what was forgotten, added and done again since then looks the same."""
    loop, woken = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        if not woken.is_set():
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads any more
                loop.call_soon_threadsafe(woken.set)

    with downloads.changes.listening(wake):
        while not ended.is_set():
            woken.clear()  # before the list is read: what changes after that wakes again
            now = await run_in_threadpool(downloads.listing)
            yield json.dumps(now.to_dict())
            await _any_of(ended, within_s=_GAP_S)
            await _any_of(ended, woken, within_s=_CLOCK_S if now.has_clocks else math.inf)


async def _any_of(*events: anyio.Event | asyncio.Event, within_s: float) -> None:
    """Wait until one of the events is set, or so long."""
    with anyio.move_on_after(within_s):
        async with anyio.create_task_group() as waiting:

            async def wait(event: anyio.Event | asyncio.Event) -> None:
                await event.wait()
                waiting.cancel_scope.cancel()

            for event in events:
                waiting.start_soon(wait, event)
