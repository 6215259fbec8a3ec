"""Where the milliseconds of one round go: wall-clock times of the host, which waits for the device."""

import time


class RoundClock:
    """Runs from the launch of a round until its tokens are told.

    A round is launched while the host is still busy with the one before, and *resumed* by the next step. What the
    device does between the two costs nobody any time.
    """

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self.launch_ms = 0.0
        """What it took the host to launch the round."""
        self._waited_ms = 0.0
        self._launched = self._resumed = self._read = self._begun

    def launched(self) -> None:
        """What could be done ahead is on its way."""
        self._launched = time.perf_counter()
        self.launch_ms = (self._launched - self._begun) * 1e3

    def resumed(self) -> None:
        """The host has come back to this round."""
        self._resumed = time.perf_counter()

    def waited(self, ms: float) -> None:
        """For so long the host has waited for the draft alone."""
        self._waited_ms = ms

    def read(self) -> None:
        """The host knows the round's tokens."""
        self._read = time.perf_counter()

    @property
    def resumed_ms(self) -> float:
        """From where the host came back to where it knew the tokens."""
        return (self._read - self._resumed) * 1e3

    @property
    def draft_ms(self) -> float:
        """Launching the draft, and waiting for it."""
        return self.launch_ms + self._waited_ms

    @property
    def verify_ms(self) -> float:
        """What is left of it for the target's pass, which began when the host came back."""
        return self.resumed_ms - self._waited_ms

    @property
    def whole_ms(self) -> float:
        """From the launch to the tokens: the target's pass, where that is what was launched."""
        return self.verify_ms + self.launch_ms + (self._resumed - self._launched) * 1e3

    def spent_ms(self, following: "RoundClock | None") -> float:
        """What the round has taken of the host's time until now, but for launching the `following` one."""
        spent_ms = (time.perf_counter() - self._resumed) * 1e3 + self.launch_ms
        return spent_ms - (following.launch_ms if following else 0.0)
