"""Where the passes over a prompt begin and end: at places that its own tokens decide, whoever else is answered and
whatever was found of it elsewhere. So a prompt's keys and values have the same bits each time.

Passes end at fixed places, counted from the prompt's first token, and also where a *turn* begins: there every answer to
come parts from this one, and what is kept of a text ends there too.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

Shorter = tuple[tuple[int, int], ...]
"""From which position on a pass reads how many tokens at most, a whole part of a chunk; ascending by position."""
Turns = Sequence[int]
"""Behind how many tokens of a prompt its turns begin, ascending: the first behind what every chat begins with."""


@dataclass(frozen=True, slots=True)
class PromptPasses:
    """Passes that read `chunk` tokens at most, `shorter` ones behind some positions; from `joined_from` on a pass that
    a turn begins with goes on to the second place where one may end, in the same chunk: one question, one pass."""

    chunk: int = 64
    shorter: Shorter = ()
    joined_from: int | None = None

    def tokens(self, start: int) -> int:
        """How many tokens the passes at `start` read, if they begin where one may and nothing ends them."""
        return min([self.chunk, *(tokens for begin, tokens in self.shorter if begin <= start)])

    @property
    def least(self) -> int:
        """How many tokens the shortest of them read."""
        return min([self.chunk, *(tokens for _, tokens in self.shorter)])

    def end(self, start: int, end: int, turns: Turns = ()) -> int:
        """Where the pass that begins at `start` ends: at one of the fixed places, where a turn begins, or at `end`."""
        following = bisect_right(turns, start)
        place = self._place_behind(start, joins=following > 0 and turns[following - 1] == start)
        return min(place, turns[following] if following < len(turns) else end, end)

    def last_begin(self, length: int, turns: Turns = ()) -> int:
        """The last place of a prompt, `length` at most, where a pass begins: a later answer can begin there too, and
        makes the same passes from there on."""
        before = bisect_right(turns, length)
        turn, place = turns[before - 1] if before else 0, length // self.tokens(length) * self.tokens(length)
        return place if place >= self._place_behind(turn, joins=True) else turn

    def _place_behind(self, start: int, *, joins: bool) -> int:
        tokens = self.tokens(start)
        place = (start // tokens + 1) * tokens
        far = self.joined_from is not None and start >= self.joined_from
        return place + tokens if joins and far and start % tokens and place % self.chunk else place
