"""What else the machine was doing: the shares of all cores' time that others used, or that a host took away."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import psutil


@dataclass(frozen=True, slots=True)
class Crowd:
    """Shares (0 to 1) of the time of all cores: of processes that have no part in the measurement, and of a virtual
    machine's host, which gave that time to somebody else."""

    others: float
    stolen: float


@dataclass(frozen=True, slots=True)
class CpuSeconds:
    """Seconds of all cores since the machine started: all there were, those busy, stolen, and `own` to the bench."""

    total: float
    busy: float
    stolen: float
    own: float


class CrowdWatch:
    """Watches from its making on. `pids` are processes with a part in the measurement that are not over yet; children
    that are over count as the bench's own by themselves."""

    def __init__(self, pids: Sequence[int] = (), *, sample: Callable[[], CpuSeconds] | None = None) -> None:
        self._sample = sample or partial(cpu_seconds, pids)
        self._before = self._sample()

    def read(self) -> Crowd:
        """The shares from the beginning until now; nothing where no time has been counted yet."""
        now, before = self._sample(), self._before
        total = now.total - before.total
        if total <= 0:
            return Crowd(0.0, 0.0)
        others = (now.busy - before.busy) - (now.own - before.own)
        return Crowd(_share(others, total), _share(now.stolen - before.stolen, total))


def cpu_seconds(pids: Sequence[int]) -> CpuSeconds:
    """As of now."""
    times = psutil.cpu_times()._asdict()
    stolen = times.get("steal", 0.0)
    # A guest's time is counted within its user's.
    total = sum(value for name, value in times.items() if not name.startswith("guest"))
    busy = total - times["idle"] - times.get("iowait", 0.0) - stolen
    own = sum(os.times()[:4]) + sum(process_seconds(pid) for pid in pids)
    return CpuSeconds(total, busy, stolen, own)


def process_seconds(pid: int) -> float:
    """What a process has used of the processor; 0 of one that is over."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _share(part: float, whole: float) -> float:
    return min(1.0, max(0.0, part / whole))
