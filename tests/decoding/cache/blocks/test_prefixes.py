"""Which texts are kept, found, and let go."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import mlx.core as mx
import pytest

from mlx_spec.config import Keeping
from mlx_spec.decoding.cache.blocks import keeping as keeping_module
from mlx_spec.decoding.cache.blocks import prefixes as prefixes_module
from mlx_spec.decoding.cache.blocks.chain import TARGET, Block
from mlx_spec.decoding.cache.blocks.keeping import prefixes_of
from mlx_spec.decoding.cache.blocks.lease import Lease
from mlx_spec.decoding.cache.blocks.prefixes import RECENT_S, Prefixes
from mlx_spec.models.memory import memory_info
from tests.tiny import tiny_pair

TOKENS = 4
BLOCK_BYTES = 2048
LONG_AGO = 2 * RECENT_S


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def prefixes(blocks: int, **settings: Any) -> Prefixes:
    made = Prefixes(blocks * BLOCK_BYTES, block_tokens=TOKENS, **settings)
    made.size_blocks(BLOCK_BYTES)
    return made


def text(*blocks: int) -> list[int]:
    return [token for block in blocks for token in (block, 1, 2, 3)]


def keep(kept: Prefixes, token_ids: list[int], owner: str | None = None) -> int:
    """How many blocks were kept, with something in each."""
    blocks = kept.keep(token_ids, owner)
    for block in blocks:
        if not block.parts:
            block.hold(TARGET, (mx.zeros((BLOCK_BYTES,), dtype=mx.uint8),))
    kept.settle()
    kept.check()
    return len(blocks)


def known(kept: Prefixes, token_ids: list[int]) -> int:
    found = kept.find(token_ids)
    assert [list(block.token_ids) for block in found] == [
        token_ids[at : at + TOKENS] for at in range(0, len(found) * TOKENS, TOKENS)
    ]
    return len(found)


def test_texts_that_begin_alike_share_their_blocks() -> None:
    kept = prefixes(10)
    keep(kept, text(1, 2, 3))
    keep(kept, text(1, 2, 9))
    assert kept.stats.blocks.used == 4
    assert kept.stats.blocks.shared == 2
    assert kept.stats.kept_bytes == 4 * BLOCK_BYTES
    assert [known(kept, tokens) for tokens in (text(1, 2, 3), text(1, 2, 9), text(1, 5), text(7))] == [3, 3, 1, 0]


def ending_in_a_part(kept: Prefixes, count: int, last: int, owner: str | None = None) -> int:
    """Keep a text of so many tokens that are numbered, but for the last; how many tokens of it were kept."""
    blocks = kept.keep([*range(count - 1), last], owner)
    for block in blocks:
        block.hold(TARGET, (mx.zeros((BLOCK_BYTES,), dtype=mx.uint8),))
    kept.settle()
    kept.check()
    return sum(len(block.token_ids) for block in blocks)


def found_tokens(kept: Prefixes, token_ids: list[int]) -> int:
    found = kept.find(token_ids)
    assert [token for block in found for token in block.token_ids] == token_ids[: sum(len(b.token_ids) for b in found)]
    return sum(len(block.token_ids) for block in found)


def test_the_end_of_a_text_is_kept_in_a_block_that_is_shorter() -> None:
    kept = Prefixes(10 * BLOCK_BYTES)
    kept.size_blocks(BLOCK_BYTES)
    assert ending_in_a_part(kept, 64 + 47, 46 + 64) == 64 + 32
    assert found_tokens(kept, list(range(64 + 48))) == 64 + 32
    assert found_tokens(kept, list(range(64 + 31))) == 64  # of a shorter block there is no part
    assert found_tokens(kept, [*range(64), 7, *range(65, 128)]) == 64
    assert found_tokens(kept, list(range(40))) == 0


def test_a_text_that_goes_on_takes_the_place_of_a_shorter_end() -> None:
    kept = Prefixes(10 * BLOCK_BYTES)
    kept.size_blocks(BLOCK_BYTES)
    ending_in_a_part(kept, 64 + 16, 79)
    assert kept.stats.blocks.used == 2
    ending_in_a_part(kept, 64 + 48, 111)  # the longer end
    assert (kept.stats.texts, kept.stats.blocks.used) == (1, 2)
    ending_in_a_part(kept, 128 + 16, 143)  # the whole block
    assert (kept.stats.texts, kept.stats.blocks.used) == (1, 3)
    ending_in_a_part(kept, 128 + 16, 0)  # another end: both stay
    assert (kept.stats.texts, kept.stats.blocks.used) == (2, 4)
    assert found_tokens(kept, [*range(143), 0, 5]) == found_tokens(kept, list(range(145))) == 144


def test_eight_chats_over_one_long_prompt_take_little_more_than_one() -> None:
    kept, system = prefixes(1000), text(*range(100, 131))
    for chat in range(8):
        keep(kept, [*system, *text(chat)])
        if not chat:
            alone = kept.stats.kept_bytes
    assert kept.stats.kept_bytes <= 1.25 * alone
    assert all(known(kept, [*system, *text(chat)]) == 32 for chat in range(8))


def test_a_block_is_only_what_follows_the_same_text() -> None:
    kept = prefixes(10)
    keep(kept, text(1, 2))
    assert known(kept, text(2)) == 0
    assert known(kept, text(9, 2)) == 0


def test_half_a_block_is_not_kept() -> None:
    kept = prefixes(10)
    assert keep(kept, [*text(1), 5, 6]) == 1
    assert keep(kept, [5, 6]) == 0
    assert kept.stats.texts == 1


def test_what_goes_on_from_a_text_takes_its_place() -> None:
    kept = prefixes(10)
    keep(kept, text(1), "a")
    keep(kept, text(1, 2), "a")
    keep(kept, text(1, 2), "a")
    assert (kept.stats.texts, kept.stats.blocks.used) == (1, 2)


def test_two_texts_whose_hashes_are_the_same_are_not_taken_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = prefixes(10)
    keep(kept, text(1))
    (block,) = kept.find(text(1))
    monkeypatch.setattr(prefixes_module, "chained", lambda ids, size: iter([(block.key, b"", ids)]))
    assert known(kept, text(1)) == 1
    assert kept.find(text(2)) == []


def test_who_was_asked_last_stays() -> None:
    clock = Clock()
    kept = prefixes(4, clock=clock)
    for first in (1, 2):
        clock.now += LONG_AGO
        keep(kept, text(first, 10))
    clock.now += 1
    assert known(kept, text(1, 10)) == 2  # asked again, so that the other is the oldest
    clock.now += LONG_AGO
    keep(kept, text(3, 10))
    assert [known(kept, text(first, 10)) for first in (1, 2, 3)] == [2, 0, 2]


def test_two_chats_do_not_evict_each_other() -> None:
    """Both were spoken to lately: the newer one is kept as far as there is room, whatever it says next."""
    clock = Clock()
    kept = prefixes(5, clock=clock)
    keep(kept, text(1, 2, 3), "a")
    for longer in (text(7, 8, 9), text(7, 8, 9, 10)):
        clock.now += 1
        assert keep(kept, longer, "b") == 2
        assert known(kept, text(1, 2, 3)) == 3
    clock.now += LONG_AGO
    assert keep(kept, text(7, 8, 9, 10), "b") == 4
    assert known(kept, text(1, 2, 3)) == 0


def test_the_branches_of_one_chat_do() -> None:
    clock = Clock()
    kept = prefixes(4, clock=clock)
    keep(kept, text(1, 2, 3), "a")
    clock.now += 1
    assert keep(kept, text(1, 8, 9, 10), "a") == 4
    assert known(kept, text(1, 2, 3)) == 1


def test_an_answer_under_way_is_worth_more_than_any_text() -> None:
    kept = prefixes(4)
    keep(kept, text(1, 2))
    keep(kept, text(5))
    lease = kept.lease()
    assert lease.grow(2 * TOKENS)
    assert lease.grow(2 * TOKENS)
    assert len(lease.blocks) == 2
    assert known(kept, text(1, 2)) == 0, "the oldest made room"
    assert known(kept, text(5)) == 1
    kept.check([lease])
    assert lease.grow(4 * TOKENS - 1)
    assert not lease.grow(4 * TOKENS + 1), "there are no more"
    kept.check([lease])
    lease.end()
    lease.end()
    assert kept.stats.texts == 0
    kept.check()


def test_what_only_one_owner_holds_goes_with_them() -> None:
    kept = prefixes(10)
    keep(kept, text(1, 2), "a")
    keep(kept, text(1, 3), "b")
    keep(kept, text(1, 4))
    kept.forget("a")
    kept.check()
    assert [known(kept, text(1, last)) for last in (2, 3, 4)] == [1, 2, 2]
    kept.forget()
    kept.check()
    assert kept.stats.blocks.used == kept.stats.kept_bytes == 0


def test_somebody_elses_text_is_not_superseded() -> None:
    kept = prefixes(10)
    keep(kept, text(1, 2), "a")
    keep(kept, text(1, 2, 3), "b")
    kept.forget("b")
    assert known(kept, text(1, 2, 3)) == 2


def test_where_other_programs_need_memory_less_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = prefixes(10)
    keep(kept, text(1, 2, 3))
    memory = memory_info()
    scarce = replace(memory, available_bytes=memory.total_bytes // 10 - 2 * BLOCK_BYTES)
    monkeypatch.setattr(prefixes_module, "memory_info", lambda: scarce)
    kept.settle()
    kept.check()
    assert known(kept, text(1, 2, 3)) == 1
    monkeypatch.setattr(prefixes_module, "memory_info", lambda: replace(memory, available_bytes=0))
    kept.settle()
    assert kept.stats.texts == 0


def test_what_points_take_counts_too() -> None:
    kept = prefixes(4)
    (block,) = kept.keep(text(1))
    block.hold(TARGET, (mx.zeros((5 * BLOCK_BYTES,), dtype=mx.uint8),))
    kept.settle()
    kept.check()
    assert kept.stats.texts == 0


class Disk:
    """Blocks by key, as they were in memory."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.blocks = {block.key: block for block in blocks}
        self.forgotten: list[str | None] = []
        self.size_bytes = 7

    def load(self, key: bytes) -> Block | None:
        block = self.blocks.get(key)
        return Block(0, block.key, block.parent, block.token_ids, dict(block.parts)) if block else None

    def forget(self, owner: str | None) -> None:
        self.forgotten.append(owner)


def on_disk(*blocks: int) -> Disk:
    kept = prefixes(100)
    keep(kept, text(*blocks))
    return Disk(kept.find(text(*blocks)))


def test_what_is_on_the_disk_is_found_too() -> None:
    kept = prefixes(10, slow=on_disk(1, 2, 3))
    assert known(kept, text(1, 2, 9)) == 2
    kept.check()
    assert known(kept, text(1, 2, 3)) == 3
    kept.check()
    assert (kept.stats.texts, kept.stats.blocks.used, kept.stats.disk_bytes) == (1, 3, 7)
    assert known(kept, text(8)) == 0


def test_what_is_loaded_makes_room_for_itself_as_far_as_it_can() -> None:
    kept = prefixes(3, slow=on_disk(1, 2, 3, 4))
    keep(kept, text(1, 9))
    assert known(kept, text(1, 2, 3, 4)) == 3
    kept.check()
    lease = kept.lease()
    lease.grow(2 * TOKENS)
    assert known(kept, text(1, 2, 3, 4)) == 1
    kept.check([lease])


def test_who_forgets_forgets_on_the_disk_too() -> None:
    disk = on_disk(1)
    kept = prefixes(3, slow=disk)
    kept.forget("a")
    kept.forget()
    assert disk.forgotten == ["a", None]


def test_any_order_of_texts_answers_and_deletions_loses_no_block() -> None:
    clock, chance = Clock(), random.Random(3)
    kept = prefixes(9, clock=clock, kept_bytes=8 * BLOCK_BYTES)
    leases: list[Lease] = []
    contents: dict[bytes, int] = {}
    for step in range(5000):
        clock.now += chance.choice((0.0, 1.0, RECENT_S))
        tokens = text(*chance.choices(range(3), k=chance.randrange(1, 6)))
        match chance.randrange(7):
            case 0 | 1 | 2:
                for block in kept.keep(tokens, chance.choice((None, "a", "b"))):
                    if not block.parts:
                        contents[block.key] = step
                        block.hold(TARGET, (mx.array([step]),))
                kept.settle()
            case 3 | 4:
                for block in kept.find(tokens):
                    assert block.parts[TARGET][0].item() == contents[block.key]
            case 5 if len(leases) < 3:
                leases.append(kept.lease())
                leases[-1].grow(chance.randrange(1, 4 * TOKENS))
            case 6 if leases and chance.random() < 0.5:
                leases.pop(chance.randrange(len(leases))).end()
            case 6 if chance.random() < 0.1:
                kept.forget(chance.choice((None, "a", "b")))
        kept.check(leases)
        assert kept.pool.usage().used <= kept.pool.capacity


def test_left_to_itself_it_keeps_a_quarter_of_what_the_models_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    def limits(available: int, *asked: int | None) -> tuple[int, int] | None:
        memory = replace(memory_info(), available_bytes=available)
        monkeypatch.setattr(keeping_module, "memory_info", lambda: memory)
        found = prefixes_of(tiny_pair(0), Keeping(*asked))
        return (found._kept_limit, found.capacity_bytes) if found else None

    assert limits(1_000_000_000) == (250_000_000, 1_000_000_000)
    assert limits(100_000_000_000) == (4_000_000_000, 100_000_000_000)
    assert limits(1_000_000_000, 5_000_000) == (5_000_000, 1_000_000_000)
    assert limits(1_000_000_000, None, 100_000_000) == (25_000_000, 100_000_000)
    assert limits(1_000_000_000, 500_000_000, 100_000_000) == (100_000_000, 100_000_000)
    assert limits(1_000_000_000, 0) is None
    assert limits(1_000_000_000, 0, 100_000_000) == (0, 100_000_000), "answers keep to their limit all the same"
