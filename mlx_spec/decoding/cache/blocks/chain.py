"""A text as a chain of blocks: so many tokens each, and what each reader of the text holds of them."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import accumulate, takewhile
from typing import Final

import mlx.core as mx

from mlx_spec.decoding.cache.blocks.pool import PART_TOKENS
from mlx_spec.decoding.cache.blocks.stored import KEY_BYTES, Ids
from mlx_spec.decoding.cache.snapshot import Snapshot
from mlx_spec.decoding.cache.stretches import Span, Stretch
from mlx_spec.prompt_passes import Turns

TARGET: Final = "target"
"""The reader whose words are given; the others are drafters, by their names."""


@dataclass(slots=True, eq=False)
class Block:
    """`token_ids` of a text, behind those of its `parent` (a key; empty for the first block). The last of a text may
    have fewer than others.

    `parts` are what readers hold of them, by name; `points` are what was held of the text up to the block's end by what
    cannot be cut (windows, recurrent states), by name too. Arrays belong to the thread that owns MLX.
    """

    number: int
    key: bytes
    parent: bytes
    token_ids: Ids
    parts: dict[str, Stretch] = field(default_factory=dict)
    points: dict[str, Snapshot] = field(default_factory=dict)
    size_bytes: int = 0
    """Of all its arrays."""
    stored: frozenset[str] = frozenset()
    """The `readers` whose holdings are on the disk."""

    @property
    def readers(self) -> frozenset[str]:
        """Who holds a part, and who has a point."""
        return frozenset(self.parts) | {f"{name} at its end" for name in self.points}

    def hold(self, name: str, part: Stretch) -> None:
        """Hold a reader's part, in the place of an earlier one."""
        self.size_bytes += _bytes(part) - _bytes(self.parts.get(name, ()))
        self.parts[name] = part

    def mark(self, name: str, point: Snapshot) -> None:
        """Hold a reader's point, in the place of an earlier one."""
        before = self.points.get(name)
        self.size_bytes += _bytes(point.arrays) - (_bytes(before.arrays) if before else 0)
        self.points[name] = point


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first blocks of a text, as one reader has them: its `parts` as far as there are, a block each, with how many
    tokens of the text each `ends` behind, and its `points` by the length of the text they are of."""

    parts: tuple[Stretch, ...]
    ends: tuple[int, ...]
    points: dict[int, Snapshot]

    @property
    def length(self) -> int:
        """Tokens that the parts are of."""
        return self.ends[-1] if self.ends else 0

    def until(self, length: int) -> tuple[Stretch, ...]:
        """The parts of the first `length` tokens, as far as these are whole blocks."""
        return self.parts[: bisect_right(self.ends, length)]

    def point(self, longest: int) -> int:
        """The longest text of up to `longest` tokens that there is a point of; 0 where there is none."""
        return max((length for length in self.points if length <= min(longest, self.length)), default=0)


def beginning_of(blocks: Sequence[Block], name: str) -> Beginning:
    """What the reader of that name has of `blocks`, which follow each other from a text's first on."""
    parts = [block.parts[name] for block in takewhile(lambda block: name in block.parts, blocks)]
    ends = ends_of(blocks)
    points = {end: block.points[name] for end, block in zip(ends, blocks, strict=True) if name in block.points}
    return Beginning(tuple(parts), tuple(ends[: len(parts)]), points)


def ends_of(blocks: Iterable[Block]) -> list[int]:
    """Behind how many tokens of a text each of its first `blocks` ends."""
    return list(accumulate(len(block.token_ids) for block in blocks))


def fill(
    blocks: Sequence[Block],
    spans: Sequence[Span],
    name: str,
    cut_up: Callable[[Sequence[Span]], Sequence[Stretch | None]],
) -> None:
    """Have `blocks`, which are of `spans` of a text, hold what a reader holds of it, where they do not yet."""
    missing = [(block, span) for block, span in zip(blocks, spans, strict=True) if name not in block.parts]
    for (block, _), part in zip(missing, cut_up([span for _, span in missing]), strict=True):
        if part is not None:
            block.hold(name, part)


def chained(token_ids: Ids, block_tokens: int) -> Iterator[tuple[bytes, bytes, Ids]]:
    """The whole blocks of a text: a key each, which tells it and all before it, its parent's, and its tokens."""
    parent = b""
    for begin in range(0, len(token_ids) // block_tokens * block_tokens, block_tokens):
        ids = token_ids[begin : begin + block_tokens]
        key = _key(parent, ids)
        yield key, parent, ids
        parent = key


def endings(
    token_ids: Ids, begin: int, parent: bytes, block_tokens: int, turns: Turns = ()
) -> Iterator[tuple[bytes, bytes, Ids]]:
    """What `chained` would give for a block of a text that begins at `begin`, behind that of `parent`, and is shorter
    than others: the longest first. It may end where one of the text's `turns` begins."""
    most = min(len(token_ids), begin + block_tokens - 1)
    ends = {*range(begin + PART_TOKENS, most + 1, PART_TOKENS), *(turn for turn in turns if begin < turn <= most)}
    for end in sorted(ends, reverse=True):
        ids = token_ids[begin:end]
        yield _key(parent, ids), parent, ids


def _key(parent: bytes, ids: Ids) -> bytes:
    return blake2b(parent + ids.tobytes(), digest_size=KEY_BYTES).digest()


def _bytes(arrays: Iterable[mx.array]) -> int:
    return sum(array.nbytes for array in arrays)
