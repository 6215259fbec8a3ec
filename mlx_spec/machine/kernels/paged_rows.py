"""Which rows a pass over blocks has, and where their keys and values lie."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

import mlx.core as mx

from mlx_spec.machine.kernels.metal import long_enough


@dataclass(frozen=True)
class PagedRows:
    """The rows of one pass: of answer a the newest `counts[a]` of the `lengths[a]` tokens that it has stored.

    Token i of answer a lies in place `i % block_tokens` of block `tables[a][i // block_tokens]`. Rows come answer by
    answer. A chain's row stands where it is stored, and sees all before it. With `seen` `[rows, most]` (bool) rows are
    nodes of trees: answer a has a text of `texts[a]` tokens, and behind it the nodes of its tree, parents before their
    children, of which the newest are rows; a row sees the text, and of the nodes those in `seen`: its ancestors and
    itself. It stands at the position of its depth.
    """

    tables: tuple[tuple[int, ...], ...]
    lengths: tuple[int, ...]
    counts: tuple[int, ...]
    block_tokens: int
    seen: mx.array | None = None
    texts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.tables) == len(self.lengths) == len(self.counts):
            raise ValueError(f"{len(self.tables)} tables, {len(self.lengths)} lengths and {len(self.counts)} counts")
        for answer, (table, length, count) in enumerate(zip(self.tables, self.lengths, self.counts, strict=True)):
            if not 0 < count <= length <= len(table) * self.block_tokens:
                raise ValueError(
                    f"answer {answer} has {count} rows of {length} tokens in {len(table)} blocks of {self.block_tokens}"
                )
        if self.seen is not None and (self.seen.shape[0] != self.total or len(self.texts) != len(self.tables)):
            raise ValueError(f"{self.seen.shape[0]} rows of trees, {len(self.texts)} texts for {self.total} rows")

    @property
    def total(self) -> int:
        """Rows of all answers."""
        return sum(self.counts)

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Of each answer its first row, and the row behind its last one."""
        return tuple(pairwise(accumulate(self.counts, initial=0)))

    @cached_property
    def block_ids(self) -> mx.array:
        """The tables as `[answers, most]` int32; what is behind an answer's last block is never looked up."""
        most = max(map(len, self.tables))
        ids = mx.array([[*table, *[0] * (most - len(table))] for table in self.tables], dtype=mx.int32)
        return long_enough(ids, axis=1)

    @cached_property
    def answers(self) -> mx.array:
        """The answer of each row, `[at least rows]` int32."""
        return long_enough(mx.array(self._by_row(range(len(self.counts))), dtype=mx.int32))

    @cached_property
    def positions(self) -> mx.array:
        """Where each row stands, `[at least rows]` int32."""
        if self.seen is None:
            pairs = zip(self.lengths, self.counts, strict=True)
            stored_at = [at for length, count in pairs for at in range(length - count, length)]
            return long_enough(mx.array(stored_at, dtype=mx.int32))
        return self.text_lengths + long_enough(mx.sum(self.seen, axis=-1).astype(mx.int32)) - 1

    @cached_property
    def text_lengths(self) -> mx.array:
        """Of each row how many of its keys lie in the order of their positions, `[at least rows]` int32."""
        if self.seen is None:
            return self.positions + 1
        return long_enough(mx.array(self._by_row(self.texts), dtype=mx.int32))

    @cached_property
    def paths(self) -> mx.array:
        """Of each row the nodes that it sees, by their depth, `[at least rows, most]` int32; the rest says nothing."""
        if self.seen is None:
            return long_enough(mx.zeros((self.total, 1), dtype=mx.int32))
        nodes = mx.arange(self.seen.shape[1], dtype=mx.int32)
        return long_enough(
            mx.sort(mx.where(self.seen, nodes, nodes + self.seen.shape[1]), axis=-1) % self.seen.shape[1]
        )

    def _by_row(self, values: Iterable[int]) -> list[int]:
        return [value for value, count in zip(values, self.counts, strict=True) for _ in range(count)]

    @property
    def longest(self) -> int:
        """No row stands behind this many tokens."""
        return max(self.lengths)


def runs(block_ids: Sequence[int]) -> list[tuple[int, int]]:
    """A table as runs of blocks that lie behind each other: the first block of each, and the one behind its last."""
    found: list[tuple[int, int]] = []
    for block in block_ids:
        if found and found[-1][1] == block:
            found[-1] = found[-1][0], block + 1
        else:
            found.append((block, block + 1))
    return found
