"""Where the milliseconds of the rounds go that are launched together: wall-clock times of the host, which waits for the
device."""

import time


class RoundClock:
    """Runs from the launch of the rounds of a step until their tokens are told; they are launched at once, and wait for
    each other.

    They are launched while the host is still busy with those before, and *resumed* by the next step. What the device
    does between the two costs nobody any time.
    """

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self.launch_ms = 0.0
        """What it took the host to launch the rounds."""
        self._waited_ms = 0.0
        self.drafts = True
        """Whether it was drafts that were launched: else the target's pass."""
        self._launched = self._resumed = self._read = self._begun

    def launched(self, *, drafts: bool) -> None:
        """What could be done ahead is on its way: the `drafts` of some, or without any the target's pass."""
        self.drafts = drafts
        self._launched = time.perf_counter()
        self.launch_ms = (self._launched - self._begun) * 1e3

    def resumed(self) -> None:
        """The host has come back to this round."""
        self._resumed = time.perf_counter()

    def waited(self, ms: float) -> None:
        """For so long the host has waited for the drafts alone."""
        self._waited_ms = ms

    def read(self) -> None:
        """The host knows the rounds' tokens."""
        self._read = time.perf_counter()

    @property
    def resumed_ms(self) -> float:
        """From where the host came back to where it knew the tokens."""
        return (self._read - self._resumed) * 1e3

    @property
    def held_up_ms(self) -> float:
        """From where the drafts were on their way to where the host came back: the target's pass waited for it, where
        without drafts it would have been under way."""
        return (self._resumed - self._launched) * 1e3 if self.drafts else 0.0

    @property
    def draft_ms(self) -> float:
        """What drafting has added: launching the drafts, and waiting for them."""
        return self.launch_ms + self._waited_ms if self.drafts else 0.0

    @property
    def verify_ms(self) -> float:
        """The rounds without their drafting: the target's pass, which began when the host came back, or, where nothing
        was drafted, with the launch."""
        after_ms = self.resumed_ms - self._waited_ms
        return after_ms if self.drafts else after_ms + self.launch_ms + (self._resumed - self._launched) * 1e3

    def spent_ms(self, following: "RoundClock | None") -> float:
        """What the rounds have taken of the host's time until now, but for launching the `following` ones."""
        spent_ms = (time.perf_counter() - self._resumed) * 1e3 + self.launch_ms
        return spent_ms - (following.launch_ms if following else 0.0)
