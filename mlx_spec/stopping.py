"""When an answer ends: end-of-sequence tokens, stop strings, the limit. Knows text and token ids, no model."""

from collections.abc import Sequence


class StopStrings:
    """Finds the first stop string in text that arrives in pieces, holding back what might be the start of one."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(stop)
        self._held = ""
        self.found = False

    def push(self, text: str) -> str:
        """Take the next piece; return what is now final. Sets `found` once a stop string is complete."""
        if self.found:
            return ""
        self._held += text
        starts = [at for at in (self._held.find(stop) for stop in self._stop) if at >= 0]
        if starts:
            self.found = True
            final, self._held = self._held[: min(starts)], ""
            return final
        return self._release(len(self._held) - self._longest_beginning())

    def finish(self) -> str:
        """The text is over: return what was held back."""
        return self._release(len(self._held))

    def _release(self, count: int) -> str:
        final, self._held = self._held[:count], self._held[count:]
        return final

    def _longest_beginning(self) -> int:
        """Length of the longest suffix of the held text that begins a stop string."""
        longest = max((len(stop) for stop in self._stop), default=0) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stop):
                return length
        return 0
