"""Ctrl-C and its kin, for commands: obeyed once, told in one line, with the exit status that a shell expects."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Final, Self

# Windows has no SIGHUP.
SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interruption:
    """While it is entered, on the main thread, the first signal raises KeyboardInterrupt there.

    A second one is passed over: people press Ctrl-C twice, and what was done so far is being kept. The third is left to
    the system, which ends the process at once. What this process was started to ignore (nohup) stays ignored.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        """The signal that came first, None where none did."""
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.number is None:  # else the interpreter's own end must not be interrupted by the second one, either
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number
            raise KeyboardInterrupt
        for each in self._before:
            signal.signal(each, signal.SIG_DFL)


class StopRequest:
    """While it is entered, Ctrl-C only asks: `asked` tells so, and the work ends where it is whole. A second Ctrl-C,
    when that takes too long, does what it did before."""

    def __init__(self) -> None:
        self._asked = False
        self._before: signal._HANDLER = None

    def asked(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self._asked

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._asked and callable(self._before):
            self._before(number, frame)
        self._asked = True
