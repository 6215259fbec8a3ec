"""When an answer ends: end-of-sequence tokens, stop strings, the limit. Knows text and token ids, no model."""

from collections.abc import Mapping, Sequence
from typing import Final

# Stand-ins for tokens that have no text: half of a surrogate pair is in no text that was decoded.
_FIRST_STAND_IN: Final = 0xD800


class StopStrings:
    """Finds the first stop string in text that arrives in pieces, holding back what might be the start of one.

    `special` are the ids of the special tokens by their names. The text of an answer never shows them, so where a stop
    string has such a name in it, that token is meant.
    """

    def __init__(self, stop: Sequence[str], special: Mapping[str, int] | None = None) -> None:
        named = [name for name in special or {} if any(name in one for one in stop)]
        # The longest first: one name may be the beginning of another.
        stand_ins = {name: chr(_FIRST_STAND_IN + i) for i, name in enumerate(sorted(named, key=len, reverse=True))}
        self._stand_in_of: dict[int | None, str] = {
            (special or {})[name]: stand_in for name, stand_in in stand_ins.items()
        }
        self._silent = {ord(stand_in): None for stand_in in stand_ins.values()}
        # What a model spells out, letter by letter, stops it as well.
        self._asked_as = {_with(stand_ins, one): one for one in reversed(stop)} | {one: one for one in stop}
        self._stop = tuple(dict.fromkeys([*stop, *(_with(stand_ins, one) for one in stop)]))
        self._held = ""
        self.which: str | None = None
        """The stop string that was found, as it was asked for."""

    @property
    def found(self) -> bool:
        """Whether a stop string is complete."""
        return self.which is not None

    def push(self, text: str, token_id: int | None = None) -> str:
        """Take the next piece, and the token that it came with; return what is now final. It is `found`
        once a stop string is complete."""
        if self.found:
            return ""
        self._held += text + self._stand_in_of.get(token_id, "")
        starts = [(at, stop) for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if starts:
            at, which = min(starts, key=lambda start: start[0])
            self.which = self._asked_as[which]
            final, self._held = self._held[:at], ""
            return final.translate(self._silent)
        return self._release(len(self._held) - self._longest_beginning())

    def finish(self) -> str:
        """The text is over: return what was held back."""
        return self._release(len(self._held))

    def _release(self, count: int) -> str:
        final, self._held = self._held[:count], self._held[count:]
        return final.translate(self._silent)

    def _longest_beginning(self) -> int:
        """Length of the longest suffix of the held text that begins a stop string."""
        longest = max((len(stop) for stop in self._stop), default=0) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stop):
                return length
        return 0


def _with(stand_ins: Mapping[str, str], text: str) -> str:
    for name, stand_in in stand_ins.items():
        text = text.replace(name, stand_in)
    return text
