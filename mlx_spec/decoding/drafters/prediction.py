"""What a client predicts an answer to be, followed as the answer grows: an editor sends the file that is to be changed.

Host integers only. The prediction is followed from its beginning. Where the text leaves it, the place where it comes
back is the one whose tokens before are the text's longest ending; places just behind the difference are looked at
first. What stands there is a function of the decided text alone, whoever drafted that.
"""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from mlx_spec.config import LOOKAHEAD_LIMIT
from mlx_spec.events import PredictionUse

MOST_MATCHED: Final = 8
"""Tokens of an ending that are compared."""
# So near behind a difference a word was changed, or a line was: there fewer tokens tell that the text is back.
_NEAR: Final = 24
_NEAR_BONUS: Final = 2
_LEAST_NEEDED: Final = 3
_MOST_NEEDED: Final = MOST_MATCHED + _NEAR_BONUS
_MOST_PLACES: Final = 4096
# A place was the wrong one where fewer tokens followed than the one, and the right one where as many as the other did.
_FEW: Final = 3
_MANY: Final = 8
_SURE_FROM: Final = (1, 4, 16)
# The chance that the next token is right, by how many were right before: nothing yet, a few, some, many.
_GUESSES: Final = (0.8, 0.6, 0.9, 0.97)
# And how far is drafted by that: what is all wrong is to cost a short answer next to nothing.
_LONGEST: Final = (15, 15, LOOKAHEAD_LIMIT, LOOKAHEAD_LIMIT)


class EndingIndex:
    """Where each sequence of up to `MOST_MATCHED` tokens stands in a text that does not change.

    All places of the text, sorted by the tokens before them, the nearest first: an ending is a range of places, found
    by halving. A token takes 36 bytes, and a look-up some microseconds.
    """

    def __init__(self, token_ids: Sequence[int]) -> None:
        tokens, ranks = np.unique(np.asarray(token_ids, dtype=np.int32), return_inverse=True)
        order = _order([_shifted(ranks + 1, k) for k in range(MOST_MATCHED)], max(1, len(tokens).bit_length()))
        self._ends = order.astype(np.int32) + 1
        ids = np.append(np.int32(-1), tokens)
        self._sorted = [ids[_shifted(ranks + 1, k)[order]] for k in range(MOST_MATCHED)]

    def find(self, ending: Sequence[int]) -> tuple[int, np.ndarray]:
        """How many of the last tokens of `ending` stand somewhere, and behind which places all of these do: some of
        them where there are thousands."""
        low, high, length = 0, len(self._ends), 0
        for token_id, column in zip(reversed(ending), self._sorted, strict=False):
            here = column[low:high]
            wanted = np.int32(token_id)  # any other type has the whole column converted
            first, last = here.searchsorted(wanted, "left"), here.searchsorted(wanted, "right")
            if first == last:
                break
            low, high, length = low + int(first), low + int(last), length + 1
        return length, self._ends[low : min(high, low + _MOST_PLACES)] if length else self._ends[:0]


def _shifted(ranks: np.ndarray, count: int) -> np.ndarray:
    """What stood so many tokens before each; 0 where nothing did."""
    return np.concatenate([np.zeros(count, dtype=ranks.dtype), ranks])[: len(ranks)]


def _order(columns: Sequence[np.ndarray], bits: int) -> np.ndarray:
    """The order of rows by their columns, the first before all others. Numbers of so many `bits`, as many columns at a
    time as fit in a word: each is a sort."""
    each = 64 // bits
    words = []
    for begin in range(0, len(columns), each):
        word = np.zeros(len(columns[0]), dtype=np.uint64)
        for column in columns[begin : begin + each]:
            word = word << np.uint64(bits) | column.astype(np.uint64)
        words.append(word)
    return np.lexsort(words[::-1])


@lru_cache(maxsize=2)
def _index_of(token_ids: tuple[int, ...]) -> EndingIndex:
    """Made when it is first needed, and once for all choices of a request."""
    return EndingIndex(token_ids)


class Prediction:
    """What one answer is predicted to be, and where in it the answer is."""

    def __init__(self, token_ids: tuple[int, ...]) -> None:
        self._ids = token_ids
        self._at: int | None = 0  # the next token of the prediction; None where the text has left it
        self._left_at = 0
        self._run = self._matched = 0  # tokens that followed, and that led to the place before
        self._needed = _LEAST_NEEDED
        self._index: EndingIndex | None = None  # hashing a long text takes its time too
        self._ending: list[int] = []
        self._foretold: list[bool] = []

    @property
    def ahead(self) -> int:
        """How many tokens it foretells now; 0 where the text has left it."""
        return 0 if self._at is None else len(self._ids) - self._at

    @property
    def sureness(self) -> int:
        """From 0, where the answer has yet to begin, to 3, where many tokens were right."""
        return bisect_right(_SURE_FROM, self._run + self._matched)

    @property
    def guess(self) -> float:
        """The chance that the next token is right, as far as can be told without having seen this text."""
        return _GUESSES[self.sureness]

    @property
    def longest(self) -> int:
        """How many of them may be drafted at once, where nobody asks for more."""
        return min(self.ahead, _LONGEST[self.sureness])

    def following(self, count: int) -> list[int]:
        """The next `count` tokens, as far as there are any."""
        return [] if self._at is None else list(self._ids[self._at : self._at + count])

    def push(self, token_ids: Sequence[int]) -> None:
        """Be told the newest tokens of the answer."""
        for token_id in token_ids:
            self._ending = [*self._ending[1 - MOST_MATCHED :], token_id]
            if self._at is not None and self._at < len(self._ids) and self._ids[self._at] == token_id:
                self._at, self._run = self._at + 1, self._run + 1
                self._foretold.append(True)
                if self._run >= _MANY:
                    self._needed = _LEAST_NEEDED
            else:
                self._foretold.append(False)
                self._leave()
                self._come_back()

    def use(self, num_tokens: int) -> PredictionUse:
        """What of it stands in the first `num_tokens` tokens of the answer."""
        accepted = min(len(self._ids), sum(self._foretold[:num_tokens]))
        return PredictionUse(accepted, len(self._ids) - accepted)

    def _leave(self) -> None:
        if self._at is None:
            return
        if self._run < _FEW:  # a wrong place: the next one must be surer
            self._needed = min(_MOST_NEEDED, self._needed + 1)
        self._left_at, self._at = self._at, None
        self._run = self._matched = 0

    def _come_back(self) -> None:
        """Find the place that the text's ending leads to, where that is long enough."""
        near_length, near = self._near()
        if near_length == MOST_MATCHED:
            length, place = near_length, near
        else:
            self._index = self._index or _index_of(self._ids)
            length, places = self._index.find(self._ending)
            if near_length and near_length + _NEAR_BONUS >= length:
                length, place = near_length, near
            else:
                place = self._nearest(places)
        bonus = _NEAR_BONUS if length and place == near else 0
        if length and place > 0 and length + bonus >= self._needed:
            self._foretold[-length:] = [True] * min(length, len(self._foretold))
            if place < len(self._ids):
                self._at, self._run, self._matched = place, 0, length

    def _near(self) -> tuple[int, int]:
        """The longest ending that stands just behind where the text left, and where: the first such place."""
        best, place = 0, -1
        for end in range(self._left_at + 1, min(len(self._ids), self._left_at + _NEAR) + 1):
            length = 0
            while length < min(len(self._ending), end) and self._ids[end - 1 - length] == self._ending[-1 - length]:
                length += 1
            if length > best:
                best, place = length, end
        return best, place

    def _nearest(self, places: np.ndarray) -> int:
        """The first place behind where the text left, else the last one before that; -1 where there is none."""
        behind = places[places > self._left_at]
        if behind.size:
            return int(behind.min())
        return int(places.max()) if places.size else -1
