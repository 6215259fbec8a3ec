"""When the engine lets models go that nobody uses, and how. The next request loads them again."""

import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import psutil

# So short of memory, the machine begins to swap, which is worse than loading again.
_SCARCE: Final = 0.05
_SCARCE_IDLE_S: Final = 60.0
_CHECK_S: Final = 5.0
_MOST_LOOKS: Final = 4
P = TypeVar("P")


def memory_is_scarce() -> bool:
    """Whether this machine has hardly any memory left for anybody."""
    memory = psutil.virtual_memory()
    return bool(memory.available < _SCARCE * memory.total)


def free_memory() -> None:
    """Hand back what only the interpreter or MLX still holds. On the thread that owned the arrays."""
    import mlx.core as mx

    # A pass that MLX has compiled holds what it was made of until it is gone itself, which the next look finds.
    for _ in range(_MOST_LOOKS):
        if not gc.collect():
            break
    mx.clear_cache()


def end_streams() -> None:
    """End this thread's MLX streams, each of which has a thread of its own. On the thread that owned the arrays, as the
    last of what it does: a stream that outlives the thread that made it ends the process with an abort."""
    if (core := sys.modules.get("mlx.core")) is not None:
        core.clear_streams()


@dataclass(slots=True, kw_only=True)
class Unloading(Generic[P]):
    """After `idle_s` seconds without a request, never where that is None, and when memory is scarce.

    `strip` gives a pair without its models, `free` returns their memory once nothing refers to them. Any thread may set
    `idle_s`: it counts from the next check on.
    """

    strip: Callable[[P], P]
    idle_s: float | None = None
    scarce: Callable[[], bool] = memory_is_scarce
    scarce_idle_s: float = _SCARCE_IDLE_S
    free: Callable[[], None] = free_memory

    @property
    def check_s(self) -> float:
        """How often to ask for `reason`."""
        return min(_CHECK_S, self.idle_s or _CHECK_S, self.scarce_idle_s)

    def reason(self, idle_s: float) -> str | None:
        """Why models that nobody has used for `idle_s` seconds should go now, as a part of a sentence; None to stay."""
        if self.idle_s is not None and idle_s >= self.idle_s:
            return f"nobody asked for {self.idle_s / 60:.3g} minutes"
        if idle_s >= self.scarce_idle_s and self.scarce():
            return "this machine is short of memory"
        return None
