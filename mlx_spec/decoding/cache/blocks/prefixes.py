"""What earlier answers have read: the next one begins where the longest beginning of its prompt ends.

A beginning is found by a chain of hashes over blocks, each compared token by token: whole ones, and at the end of a
text one that is shorter, which the disk is not given. Texts that begin alike share their blocks; who was asked last
goes last where memory is short.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Final

import numpy as np

from mlx_spec.decoding.cache.blocks.chain import Block, chained, endings
from mlx_spec.decoding.cache.blocks.lease import Lease
from mlx_spec.decoding.cache.blocks.pool import BLOCK_TOKENS, LEAST_BLOCK_BYTES, BlockPool, Usage
from mlx_spec.decoding.cache.blocks.slow import SlowBlocks
from mlx_spec.decoding.cache.blocks.stored import Ids
from mlx_spec.decoding.cache.blocks.text import Text
from mlx_spec.models.memory import memory_info
from mlx_spec.prompt_passes import Turns

RECENT_S: Final = 300.0
"""A chat that was spoken to so lately is kept before one that only now begins, so that two do not evict each other."""

_EVERYBODY: Final = "\0every chat"
"""Whose the opening of all chats is: no text of a chat takes its place."""

# So large a share of the machine's memory stays free for others.
_SPARE: Final = 10


@dataclass(frozen=True, slots=True)
class PrefixStats:
    """Prompts that began with something known, and those that did not; tokens that were not read again; what is kept
    now, in memory and on disk, and the blocks of the pool, those of answers under way included."""

    hits: int = 0
    misses: int = 0
    cached_tokens: int = 0
    kept_bytes: int = 0
    disk_bytes: int = 0
    texts: int = 0
    blocks: Usage = field(default_factory=lambda: Usage(0, 0, 0))
    block_tokens: int = BLOCK_TOKENS
    block_bytes: int = 0


class Prefixes:
    """The texts that a pair has read, and the pool that they and the answers under way share.

    `capacity_bytes` are for all of it, of which texts that are kept have `kept_bytes` at most. Belongs to the thread
    that owns MLX; `stats` may be read from any.
    """

    def __init__(
        self,
        capacity_bytes: int,
        *,
        kept_bytes: int | None = None,
        slow: SlowBlocks | None = None,
        block_tokens: int = BLOCK_TOKENS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.capacity_bytes = capacity_bytes
        self.slow = slow
        self._kept_limit = capacity_bytes if kept_bytes is None else min(kept_bytes, capacity_bytes)
        self._clock = clock
        self._blocks: dict[bytes, Block] = {}
        self._texts: list[Text] = []  # the one asked for last at the end
        self._kept_bytes = 0
        self.stats = PrefixStats(block_tokens=block_tokens)
        self.pool = BlockPool(0, block_tokens)
        self.size_blocks(LEAST_BLOCK_BYTES)

    @property
    def block_tokens(self) -> int:
        """Of a text, in one block."""
        return self.pool.block_tokens

    @property
    def capacity_tokens(self) -> int:
        """Of all texts together."""
        return self.pool.capacity * self.block_tokens

    @property
    def keeps(self) -> bool:
        """Whether there is room to keep anything."""
        return self._kept_limit >= self.stats.block_bytes

    def size_blocks(self, block_bytes: int) -> None:
        """Have a pool of as many blocks as there is memory for, when one takes so many bytes."""
        block_bytes = max(block_bytes, LEAST_BLOCK_BYTES)
        self.pool.resize(self.capacity_bytes // block_bytes)
        self.stats = replace(self.stats, block_bytes=block_bytes, blocks=self.pool.usage())

    def find(self, token_ids: Sequence[int], owner: str | None = None, turns: Turns = ()) -> list[Block]:
        """The blocks that a text begins with, as far as they are known, the last of which may be shorter than others:
        a multiple of `PART_TOKENS`, or up to where one of its `turns` begins. What is found on the disk is the
        `owner`'s now, too, whose text it is a beginning of."""
        found: list[Block] = []
        every = np.asarray(token_ids, dtype=np.int32)
        blocks = chained(every, self.block_tokens)
        for key, parent, ids in blocks:
            block = self._blocks.get(key)
            if block is None or not np.array_equal(block.token_ids, ids):
                self._load(chain([(key, parent, ids)], blocks), found, owner)
                break
            found.append(block)
        parent = found[-1].key if found else b""
        whole = len(found) * self.block_tokens
        for key, _, ids in endings(every, whole, parent, self.block_tokens, turns):
            if (block := self._blocks.get(key)) is not None and np.array_equal(block.token_ids, ids):
                found.append(block)
                break
        if found:
            self._touch(found[-1])
        return found

    def lease(self) -> Lease:
        """For an answer that begins."""
        return Lease(self.pool, self.make_room)

    def keep(self, token_ids: Sequence[int], owner: str | None = None, turns: Turns = ()) -> list[Block]:
        """Keep a text in blocks, of which the last may be shorter (see `find`), in the place of those that it goes on
        from: as much of it as there is room for. Those of its blocks that are new have no parts yet, and the others
        maybe not all."""
        blocks: list[Block] = []
        for key, parent, ids in self._cut(np.asarray(token_ids, dtype=np.int32), turns):
            if (block := self._blocks.get(key)) is not None:
                self.pool.share(block.number)
            elif self._has_room(among=self._giving_way(owner)):
                block = self._blocks[key] = Block(self.pool.allocate(), key, parent, ids)
            else:
                break
            blocks.append(block)
        if blocks:
            self._add(Text(tuple(blocks), owner, self._clock()))
        return blocks

    def keep_opening(self, token_ids: Sequence[int]) -> Block | None:
        """Keep what every chat begins with, beside the texts that go on from it: its last block, if that is
        shorter than others, and there is room."""
        count = len(token_ids)
        if count % self.block_tokens == 0:
            return None
        kept = next((text.blocks for text in self._texts if text.owner == _EVERYBODY), ())
        blocks = kept or self.keep(token_ids, _EVERYBODY, (count,))
        return blocks[-1] if sum(len(block.token_ids) for block in blocks) == count else None

    def _cut(self, token_ids: Ids, turns: Turns) -> Iterator[tuple[bytes, bytes, Ids]]:
        """A text in blocks, as `chained` gives them."""
        parent = b""
        for key, before, ids in chained(token_ids, self.block_tokens):
            yield key, before, ids
            parent = key
        whole = len(token_ids) // self.block_tokens * self.block_tokens
        yield from islice(endings(token_ids, whole, parent, self.block_tokens, turns), 1)

    def settle(self) -> None:
        """Called when kept blocks have got their parts. Where that was too much, those not asked for lately go first,
        and then the newest is shortened."""
        self._count()
        limit = self._limit()
        while self._kept_bytes > limit and self._texts:
            newest = self._texts[-1]
            giving_way = [text for text in self._giving_way(newest.owner) if text is not newest]
            if (old := self._oldest(giving_way)) is not None:
                self._forget(old)
            else:
                self._shorten(newest)
            self._count()

    def forget(self, owner: str | None = None) -> None:
        """Forget the texts of an owner; all, where nobody is named."""
        for text in [text for text in self._texts if owner is None or text.owner == owner]:
            self._forget(text)
        if self.slow is not None:
            self.slow.forget(owner)
        self._count()

    def drop(self) -> None:
        """Forget all texts in memory; the disk keeps what it has."""
        for text in list(self._texts):
            self._forget(text)
        self._count()

    def store(self) -> Iterator[None]:
        """Give the disk what it does not have, the newest text first; a block a step."""
        for text in self._texts[::-1]:
            if self.slow is None or text.stored:
                continue
            whole = [block for block in text.blocks if len(block.token_ids) == self.block_tokens]
            for _ in self.slow.keep(whole, text.owner):
                yield
                if text not in self._texts:  # it was forgotten meanwhile
                    break
            else:
                text.stored = True
        self._count()

    def make_room(self, num_blocks: int) -> None:
        """Have so many blocks free, as far as kept texts can make room: an answer under way is worth more."""
        while self.pool.num_free < num_blocks and (oldest := self._oldest(self._texts)) is not None:
            self._forget(oldest)
        self._count()

    def count(self, cached_tokens: int) -> None:
        """Count a prompt of which so many tokens were known."""
        hit = cached_tokens > 0
        self.stats = replace(
            self.stats,
            hits=self.stats.hits + hit,
            misses=self.stats.misses + (not hit),
            cached_tokens=self.stats.cached_tokens + cached_tokens,
        )

    def check(self, leases: Sequence[Lease] = ()) -> None:
        """Raise AssertionError unless every block is held just by the texts and leases that there are."""
        kept = [[block.number for block in text.blocks] for text in self._texts]
        self.pool.check([*kept, *(lease.blocks for lease in leases)])
        assert {block.key: block for text in self._texts for block in text.blocks} == self._blocks, "a block is lost"
        for text in self._texts:
            keys = [b"", *(block.key for block in text.blocks)]
            assert [block.parent for block in text.blocks] == keys[:-1], "a text skips a block"

    def _load(self, wanted: Iterator[tuple[bytes, bytes, Ids]], found: list[Block], owner: str | None) -> None:
        """Add to `found` the `wanted` blocks that are on the disk; then a text holds all of them."""
        if self.slow is None:
            return
        text: Text | None = None
        for key, parent, ids in wanted:
            loaded = self.slow.load(key)
            if loaded is None or loaded.parent != parent or not np.array_equal(loaded.token_ids, ids):
                break
            if text is None:
                text = Text(tuple(found), owner, self._clock())
                for block in found:
                    self.pool.share(block.number)  # so that they stay while others make room
            if not self._has_room(among=self._texts):
                break
            loaded.number = self.pool.allocate()
            self._blocks[key] = loaded
            found.append(loaded)
            text.blocks = tuple(found)
        if text is not None and text.blocks:
            self._add(text)
        self._count()

    def _add(self, text: Text) -> None:
        """Keep a text in the place of those that it goes on from, unless they are somebody else's."""
        for other in [other for other in self._texts if text.goes_on_from(other)]:
            if other.owner in (None, text.owner):
                self._forget(other)
        self._texts.append(text)

    def _touch(self, newest: Block) -> None:
        """Who holds what was asked for goes last from now on."""
        text = next(text for text in reversed(self._texts) if newest in text.blocks)
        self._texts.remove(text)
        self._texts.append(text)
        text.used = self._clock()

    def _has_room(self, among: Sequence[Text]) -> bool:
        """Whether there is room for one more block that is kept: the oldest `among` some texts make it."""
        waiting = list(among)
        while not self.pool.num_free or len(self._blocks) >= self._kept_limit // self.stats.block_bytes:
            if (old := self._oldest(waiting)) is None:
                return False
            waiting.remove(old)
            self._forget(old)
        return True

    def _giving_way(self, owner: str | None) -> list[Text]:
        """What goes for a new text: what was not asked for lately, and its own owner's."""
        now = self._clock()
        return [text for text in self._texts if now - text.used >= RECENT_S or (owner and text.owner == owner)]

    @staticmethod
    def _oldest(among: Sequence[Text]) -> Text | None:
        return min(among, key=lambda text: text.used, default=None)

    def _forget(self, text: Text) -> None:
        self._texts.remove(text)
        for block in text.blocks:
            self._release(block)

    def _shorten(self, text: Text) -> None:
        *rest, last = text.blocks
        text.blocks = tuple(rest)
        self._release(last)
        if not rest:
            self._texts.remove(text)

    def _release(self, block: Block) -> None:
        if self.pool.release(block.number):
            del self._blocks[block.key]

    def _limit(self) -> int:
        """Bytes that may be kept now: less where other programs have come to need memory."""
        memory = memory_info()
        left = self._kept_bytes + memory.available_bytes - memory.total_bytes // _SPARE
        return max(0, min(self._kept_limit, left))

    def _count(self) -> None:
        self._kept_bytes = sum(block.size_bytes for block in self._blocks.values())
        self.stats = replace(
            self.stats,
            kept_bytes=self._kept_bytes,
            disk_bytes=self.slow.size_bytes if self.slow is not None else 0,
            texts=sum(text.owner != _EVERYBODY for text in self._texts),
            blocks=self.pool.usage(),
        )
