"""Texts in memory and on disk together: what is written of them, when, and whose it is."""

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from mlx_spec.decoding.cache.blocks.chain import TARGET
from mlx_spec.decoding.cache.blocks.disk import DiskTier
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.cache.blocks.shelf import UNCLAIMED_S
from mlx_spec.decoding.cache.blocks.shelves import LOOK_S
from mlx_spec.decoding.cache.blocks.slow import SlowBlocks
from mlx_spec.decoding.cache.blocks.stored import StoredBlock
from tests.decoding.cache.blocks.test_disk import Clock, files

TOKENS, ROOMY, WHO = 4, 1 << 30, "pair-a"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "prefixes"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def begun(folder: Path, clock: Clock, *, disk_bytes: int = ROOMY, memory_bytes: int = ROOMY) -> Prefixes:
    """What a new process has."""
    slow = SlowBlocks(DiskTier(folder, WHO, disk_bytes, clock))
    return Prefixes(memory_bytes, slow=slow, block_tokens=TOKENS)


def text(*blocks: int) -> list[int]:
    return [token for block in blocks for token in (block, 1, 2, 3)]


def keep(kept: Prefixes, token_ids: list[int], owner: str | None = None) -> None:
    """Each block holds its own last token."""
    for block in kept.keep(token_ids, owner):
        if not block.parts:
            block.hold(TARGET, (mx.array(block.token_ids[:1]),))
    kept.settle()


def stored(kept: Prefixes) -> None:
    assert all(step is None for step in kept.store())


def known(kept: Prefixes, token_ids: list[int], owner: str | None = None) -> int:
    found = kept.find(token_ids, owner)
    assert [block.parts[TARGET][0].item() for block in found] == [block.token_ids[0] for block in found]
    kept.check()
    return len(found)


def test_the_next_process_finds_it(folder: Path, clock: Clock) -> None:
    kept = begun(folder, clock)
    keep(kept, text(1, 2, 3), "a")
    stored(kept)
    assert known(begun(folder, clock), text(1, 2, 3, 4)) == 3


def test_what_the_disk_let_go_of_is_written_again(folder: Path, clock: Clock) -> None:
    """Two chats share a block; the one that had it written is deleted before the other is on the disk."""
    kept = begun(folder, clock)
    keep(kept, text(1, 2), "a")
    stored(kept)
    keep(kept, text(1, 3), "b")
    kept.forget("a")
    assert files(folder) == []
    stored(kept)
    assert known(begun(folder, clock), text(1, 3)) == 2
    assert known(begun(folder, clock), text(1, 2)) == 1


def test_what_was_not_written_for_want_of_room_is_written_when_there_is_some(folder: Path, clock: Clock) -> None:
    kept = begun(folder, clock, disk_bytes=1)
    keep(kept, text(1, 2), "a")
    stored(kept)
    assert files(folder) == []
    assert kept.slow is not None
    kept.slow._tier._capacity_bytes = ROOMY
    keep(kept, text(1, 2, 3), "a")
    stored(kept)
    assert known(begun(folder, clock), text(1, 2, 3)) == 3


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_chat_that_is_deleted_while_it_is_written_is_not_there_afterwards(
    folder: Path, clock: Clock, steps: int
) -> None:
    kept = begun(folder, clock)
    keep(kept, text(1), "b")
    stored(kept)
    before = files(folder)
    keep(kept, text(1, 2, 3, 4), "a")
    writing = kept.store()
    for _ in range(steps):
        next(writing)
    kept.forget("a")
    list(writing)
    assert files(folder) == before


def test_another_chat_goes_while_one_is_written(folder: Path, clock: Clock) -> None:
    """Nobody holds yet what was written of it, and so that goes too: it is written again."""
    kept = begun(folder, clock)
    keep(kept, text(1, 2, 3), "a")
    writing = kept.store()
    next(writing)
    kept.forget("b")
    writing.close()  # type: ignore[attr-defined]
    stored(kept)
    assert known(begun(folder, clock), text(1, 2, 3)) == 3


def test_what_is_found_on_the_disk_is_of_the_chat_that_asks(folder: Path, clock: Clock) -> None:
    kept = begun(folder, clock)
    keep(kept, text(1, 2), "a")
    stored(kept)
    again = begun(folder, clock)
    assert known(again, text(1, 2, 9), "a") == 2
    stored(again)
    again.forget("a")
    assert (again.stats.texts, again.stats.kept_bytes) == (0, 0)
    stored(again)
    assert files(folder) == []


def test_a_search_that_finds_no_more_on_the_disk_leaves_no_text_behind(folder: Path, clock: Clock) -> None:
    kept = begun(folder, clock)
    keep(kept, text(1, 2), "a")
    assert known(kept, text(1, 2, 9), "a") == 2
    assert kept.stats.texts == 1
    kept.forget("a")
    assert (kept.stats.texts, kept.stats.kept_bytes) == (0, 0)


def test_a_block_on_the_disk_is_compared_token_by_token(folder: Path, clock: Clock) -> None:
    kept = begun(folder, clock)
    keep(kept, text(1, 2), "a")
    first, second = kept.find(text(1, 2))
    tier = DiskTier(folder, WHO, ROOMY, clock)
    content = {"parts": {TARGET: [mx.array([7])]}, "points": {}}
    tier.save(StoredBlock(first.key, b"", np.array([7, 7, 7, 7], dtype=np.int32), content))
    tier.save(StoredBlock(second.key, first.key, second.token_ids, content))
    tier.keep_text([first.key, second.key], None)
    assert known(begun(folder, clock), text(1, 2)) == 0


def test_what_a_killed_process_had_begun_to_write_is_whole_in_the_end(folder: Path, clock: Clock) -> None:
    """Blocks that nobody has held for long are swept, but not from under the text that takes them up."""
    kept = begun(folder, clock)
    keep(kept, text(1, 2, 3), "a")
    writing = kept.store()
    next(writing)
    next(writing)
    again = begun(folder, clock)
    keep(again, text(1, 2, 3), "a")
    clock.now += UNCLAIMED_S + LOOK_S
    stored(again)
    assert known(begun(folder, clock), text(1, 2, 3)) == 3


def test_the_text_that_makes_room_in_memory_keeps_what_it_was_found_behind(folder: Path, clock: Clock) -> None:
    kept = begun(folder, clock)
    keep(kept, text(1, 2, 3, 4), "a")
    stored(kept)
    few = begun(folder, clock, memory_bytes=3 * 1024)
    few.size_blocks(1024)
    keep(few, text(1, 9), "b")
    keep(few, text(8), "c")
    assert known(few, text(1, 2, 3, 4), "a") == 3
    assert few.stats.blocks.used == 3
    lease = few.lease()
    lease.grow(3 * TOKENS)
    assert known_under(few, text(1, 2, 3, 4), lease.blocks) == 0


def known_under(kept: Prefixes, token_ids: list[int], leased: list[int]) -> int:
    found = kept.find(token_ids)
    kept.pool.check([leased, *([block.number for block in one.blocks] for one in kept._texts)])
    return len(found)


def test_what_more_readers_have_come_to_hold_is_written_too(folder: Path, clock: Clock) -> None:
    kept = begun(folder, clock)
    keep(kept, text(1, 2), "a")
    stored(kept)
    for block in kept.find(text(1, 2)):
        assert block.stored == block.readers
        block.hold("model", (mx.array([5]),))
    keep(kept, text(1, 2, 3), "a")
    stored(kept)
    found = begun(folder, clock).find(text(1, 2, 3))
    assert [block.parts.get("model", (None,))[0] is not None for block in found] == [True, True, False]
