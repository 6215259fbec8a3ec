"""What earlier answers have read: the next one begins where the longest beginning of its prompt ends.

A beginning is compared token by token. Who was asked last goes last where memory is short.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from mlx_spec.decoding.cache.snapshot import Kept, Snapshot
from mlx_spec.models.memory import memory_info, rows_are_independent

# What is kept is worth its memory only as long as nothing else on the machine misses it.
_SHARE: Final = 4
_MOST_BYTES: Final = 4_000_000_000

Ids = np.ndarray[tuple[int], np.dtype[np.int32]]
Drafters = Mapping[str, Kept | None]


def common_length(one: Ids, other: Ids) -> int:
    """How many tokens two texts begin with alike."""
    count = min(len(one), len(other))
    different = np.flatnonzero(one[:count] != other[:count])
    return int(different[0]) if len(different) else count


def shared_length(one: Sequence[int], other: Sequence[int]) -> int:
    """As `common_length`."""
    return common_length(np.asarray(one, dtype=np.int32), np.asarray(other, dtype=np.int32))


def is_beginning(text: Ids, ids: Ids) -> bool:
    """Whether `ids` go on from all of `text`."""
    return common_length(text, ids) == len(text)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A text that was read, and what was kept of it. It is equal to itself only, as arrays have no one truth.

    `points` are what the target held, at growing lengths; where it `cuts_anywhere` the last one serves for every
    length up to `num_canonical`: so many tokens have the bits that reading them as a prompt gives. `drafters` is what
    each drafter kept, by name. `owner` names the chat that it was read for, if any.
    """

    token_ids: Ids
    points: tuple[Snapshot, ...]
    cuts_anywhere: bool
    num_canonical: int
    drafters: Drafters = field(default_factory=dict)
    owner: str | None = None

    def common(self, token_ids: Ids) -> int:
        """How many tokens both texts begin with."""
        return common_length(self.token_ids, token_ids)

    def usable(self, token_ids: Ids) -> int:
        """How many tokens of a text one can begin behind, whole chunks or not."""
        common = self.common(token_ids)
        if self.cuts_anywhere:
            return min(common, self.num_canonical)
        return max((point.length for point in self.points if point.length <= common), default=0)

    def replaces(self, old: "Reading") -> bool:
        """Whether nothing is lost with a reading of which this one goes on, or of which it has all that is usable."""
        if is_beginning(old.token_ids, self.token_ids):
            return True
        has_all = self.cuts_anywhere and old.num_canonical <= self.num_canonical
        return has_all and is_beginning(self.token_ids, old.token_ids)

    def point(self, longest: int, step: int) -> tuple[Snapshot, int] | None:
        """Where a text that has its first `longest` tokens from this one can begin, as far as possible: a snapshot and
        how many tokens of it. Chunks begin at multiples of `step` from the first token, whether what stands before them
        was read now or earlier: so the same passes are made."""
        if self.cuts_anywhere:
            length = min(longest, self.num_canonical, self.points[-1].length) // step * step
            return (self.points[-1], length) if length else None
        fitting = [point for point in self.points if point.length <= longest]
        return (fitting[-1], fitting[-1].length) if fitting else None

    @property
    def size_bytes(self) -> int:
        """Of its arrays."""
        kept = [*self.points, *(one for one in self.drafters.values() if one is not None)]
        return sum(array.nbytes for one in kept for array in one.arrays)


@dataclass(frozen=True, slots=True)
class PrefixStats:
    """Prompts that began with something known, and those that did not; tokens that were not read again; and what the
    readings that are kept take now."""

    hits: int = 0
    misses: int = 0
    cached_tokens: int = 0
    kept_bytes: int = 0


class Prefixes:
    """The readings of one pair, as many as `capacity_bytes` hold; the newest is kept whatever its size.

    Belongs to the thread that owns MLX; `stats` may be read from any.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.rows_are_independent = rows_are_independent()
        """Whether what rounds have read has the bits that a prompt's chunks give."""
        self._readings: list[Reading] = []  # the one used last at the end
        self._given: tuple[Ids, Drafters] | None = None  # what drafters kept of a reading that was given away
        self.stats = PrefixStats()

    def find(self, prompt_ids: Sequence[int]) -> tuple[Reading, int] | None:
        """The reading that saves a prompt most, and how many of its tokens it has. Never all of them: the
        last one is scored with the first drafts.

        One that the prompt goes on from is given away, as the answer's own will take its place: nobody else then holds
        its arrays, and they are written in place instead of copied.
        """
        ids = np.asarray(prompt_ids[:-1], dtype=np.int32)
        best = max(self._readings, key=lambda reading: (reading.usable(ids), reading.common(ids)), default=None)
        if best is None or (common := best.common(ids)) == 0:
            return None
        self._readings.remove(best)
        if common < len(best.token_ids):
            self._readings.append(best)
        else:
            self._given = best.token_ids, best.drafters
        return best, common

    def known(self, token_ids: Sequence[int], step: int) -> int:
        """With how many of its tokens, in whole chunks of `step`, a text could begin. To ask changes nothing."""
        ids = np.asarray(token_ids, dtype=np.int32)
        points = (reading.point(reading.common(ids), step) for reading in self._readings)
        return max((length for _, length in filter(None, points)), default=0)

    def keep(self, reading: Reading) -> None:
        """Keep a reading in the place of those that it replaces; forget the oldest where it gets too much.

        Drafters that were not asked this time keep what they had of the same text: the next answer may ask them.
        """
        ids = reading.token_ids
        before = [old for old in self._readings if reading.replaces(old)]
        kept = [(old.token_ids, old.drafters) for old in before] + ([self._given] if self._given else [])
        drafters: dict[str, Kept | None] = {}
        for text, theirs in [*kept, (ids, reading.drafters)]:
            if is_beginning(text, ids):
                drafters |= {name: one for name, one in theirs.items() if one is not None}
        self._readings = [old for old in self._readings if old not in before]
        self._readings.append(replace(reading, drafters=drafters))
        self._given = None
        while len(self._readings) > 1 and self.size_bytes > self.capacity_bytes:
            del self._readings[0]
        self.stats = replace(self.stats, kept_bytes=self.size_bytes)

    def forget(self, owner: str | None = None) -> None:
        """Forget all readings, or those of one owner."""
        self._readings = [reading for reading in self._readings if owner is not None and reading.owner != owner]
        self._given = None
        self.stats = replace(self.stats, kept_bytes=self.size_bytes)

    def count(self, cached_tokens: int) -> None:
        """Count a prompt of which so many tokens were known."""
        hit = cached_tokens > 0
        self.stats = replace(
            self.stats,
            hits=self.stats.hits + hit,
            misses=self.stats.misses + (not hit),
            cached_tokens=self.stats.cached_tokens + cached_tokens,
        )

    @property
    def size_bytes(self) -> int:
        """What all of it takes."""
        return sum(reading.size_bytes for reading in self._readings)


def prefixes_of(capacity_bytes: int | None) -> Prefixes | None:
    """What readings of a pair that is loaded may take: so many bytes, none at all where that is 0. None is a quarter of
    the memory that is left, at most 4 GB."""
    if capacity_bytes is None:
        capacity_bytes = min(memory_info().available_bytes // _SHARE, _MOST_BYTES)
    return Prefixes(capacity_bytes) if capacity_bytes else None
