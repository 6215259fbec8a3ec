"""`python -m tests.hosts.cable DELAY_MS MAC END END …`: cables between pairs of TAP devices, by their descriptors.
Frames to and from the machine in the middle, whose address is MAC, pass one and take so long; all others pass two, half
of it on each. For kernels without netem.

It runs before everybody else, so that a busy machine does not make the way longer than it was asked to be.
"""

import contextlib
import heapq
import os
import select
import sys
import time
from collections.abc import Sequence

_FRAME_BYTES = 1 << 16


def carry(delay_s: float, middle: bytes, ends: Sequence[int]) -> None:
    """Until this process is ended."""
    other = {**dict(zip(ends[::2], ends[1::2], strict=True)), **dict(zip(ends[1::2], ends[::2], strict=True))}
    under_way: list[tuple[float, int, int, bytes]] = []
    number = 0
    while True:
        left_s = under_way[0][0] - time.perf_counter() if under_way else None
        ready = select.select(ends, [], [], None if left_s is None else max(0.0, left_s))[0]
        now = time.perf_counter()
        for end in ready:
            with contextlib.suppress(BlockingIOError):
                frame, number = os.read(end, _FRAME_BYTES), number + 1
                takes_s = delay_s if middle in (frame[:6], frame[6:12]) else delay_s / 2
                heapq.heappush(under_way, (now + takes_s, number, other[end], frame))
        while under_way and under_way[0][0] <= time.perf_counter():
            _, _, to, frame = heapq.heappop(under_way)
            with contextlib.suppress(OSError):  # that end is down: the frame is lost, as on a cable that is cut
                os.write(to, frame)


if __name__ == "__main__":
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    with contextlib.suppress(KeyboardInterrupt):
        milliseconds, address, *numbers = sys.argv[1:]
        carry(float(milliseconds) / 1e3, bytes.fromhex(address.replace(":", "")), [int(end) for end in numbers])
