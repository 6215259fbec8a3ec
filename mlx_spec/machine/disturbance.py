"""How much of the machine other programs took while something was measured."""

import time

import psutil


class Disturbance:
    """Counts from when it is made. The processor time that this process did not use, over what there was of it."""

    def __init__(self) -> None:
        self._began, self._own, self._busy = self._now()

    def read(self) -> float:
        """The share of all cores that others were busy on, from 0 to 1; time a hypervisor took away is theirs.

        The system counts in hundredths of a second: of less than a few tenths it says little.
        """
        now, own, busy = self._now()
        there_was = (now - self._began) * (psutil.cpu_count() or 1)
        if there_was <= 0:
            return 0.0
        return min(1.0, max(0.0, (busy - self._busy) - (own - self._own)) / there_was)

    @staticmethod
    def _now() -> tuple[float, float, float]:
        """Seconds: the time, this process's processor time, and that of all cores together while they were not idle."""
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        # On Linux a guest's time is in its host's user time already.
        guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        return time.monotonic(), time.process_time(), sum(times) - idle - guests
