"""Somebody else on the machine: another process that takes a core in bursts, while this one is entered."""

import os
import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

from mlx_spec.bench.paired import bursts
from mlx_spec.bench.paired.crowd import process_seconds
from mlx_spec.machine.program import interpreter


class Disturber(AbstractContextManager["Disturber"]):
    """Runs `bursts` from entering to leaving. Its input is a pipe from here, so that it ends with this process even
    where nobody can leave any more. Each time it begins with a burst."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._since = 0.0
        self._taken = 0.0
        self._seconds = 0.0

    @property
    def pid(self) -> int:
        """The other process's id, while entered."""
        assert self._process is not None, "not entered"
        return self._process.pid

    @property
    def share(self) -> float:
        """The part of one core's time that it got, of all the time it was there: half where nobody hindered it."""
        return self._taken / self._seconds if self._seconds else 0.0

    def __enter__(self) -> Self:
        # Without OpenBLAS, whose threads it has no use for.
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        self._process = subprocess.Popen(
            [interpreter("Measuring beside another program"), "-I", str(Path(bursts.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # Ctrl-C reaches it too, and ends it with a traceback
            env=environment,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()  # from here on it is busy
        self._since = time.perf_counter()
        self._taken -= process_seconds(self.pid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._taken += process_seconds(self.pid)
        self._seconds += time.perf_counter() - self._since
        self._process.kill()
        self._process.communicate()  # closes the pipes and waits
        self._process = None
