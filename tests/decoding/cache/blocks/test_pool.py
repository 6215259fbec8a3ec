"""Which blocks are taken, and by how many."""

import random
from collections import Counter

import pytest

from mlx_spec.decoding.cache.blocks.pool import BlockPool, OutOfBlocksError, Usage

OPERATIONS = 100_000


def test_blocks_are_taken_shared_and_free_again() -> None:
    pool = BlockPool(3, block_tokens=16)
    one, other = pool.allocate(), pool.allocate()
    pool.share(one)
    assert pool.usage() == Usage(total=3, used=2, shared=1)
    assert not pool.release(one)
    assert pool.release(one)
    assert pool.usage() == Usage(3, 1, 0)
    assert pool.usage().free == 2
    pool.check([[other]])


def test_so_many_tokens_fit() -> None:
    pool = BlockPool(3, block_tokens=16)
    assert [pool.can_allocate(tokens) for tokens in (0, 1, 48, 49)] == [True, True, True, False]
    pool.allocate()
    assert [pool.can_allocate(tokens) for tokens in (32, 33)] == [True, False]


def test_who_writes_into_what_others_hold_gets_a_block_of_its_own() -> None:
    pool = BlockPool(2)
    block = pool.allocate()
    assert pool.writable(block) == block, "nobody else holds it"
    pool.share(block)
    copy = pool.writable(block)
    assert copy != block
    assert (pool.holders(block), pool.holders(copy)) == (1, 1)
    pool.share(block)
    with pytest.raises(OutOfBlocksError):
        pool.writable(block)
    assert pool.holders(block) == 2, "nothing has changed"


def test_a_pool_that_shrinks_has_nothing_free_until_enough_is_released() -> None:
    pool = BlockPool(3)
    held = [pool.allocate() for _ in range(3)]
    pool.resize(2)
    assert (pool.num_free, pool.can_allocate(1)) == (0, False)
    pool.release(held.pop())
    with pytest.raises(OutOfBlocksError):
        pool.allocate()
    pool.release(held.pop())
    assert pool.allocate() is not None


@pytest.mark.parametrize("call", [BlockPool.share, BlockPool.release, BlockPool.writable])
def test_a_block_that_nobody_holds_is_nobodys(call: object) -> None:
    pool = BlockPool(2)
    pool.release(pool.allocate())
    with pytest.raises(ValueError, match="block 0 is held by nobody"):
        call(pool, 0)  # type: ignore[operator]


@pytest.mark.parametrize("tables", [[[0]], [[0], [0], [1]], [[0], [0]], []])
def test_what_is_counted_wrong_is_noticed(tables: list[list[int]]) -> None:
    pool = BlockPool(4)
    pool.share(pool.allocate())
    pool.release(pool.allocate())
    if tables == [[0], [0]]:
        pool.check(tables)
        pool._released.append(0)
    with pytest.raises(AssertionError):
        pool.check(tables)


def test_any_order_of_operations_is_what_a_naive_model_says() -> None:
    """The naive model: who holds what, as a list of lists; a block is free when no list has it."""
    chance = random.Random(1)
    pool, capacity = BlockPool(12), 12
    tables: list[list[int]] = [[] for _ in range(5)]
    for _ in range(OPERATIONS):
        table = chance.choice(tables)
        count = Counter(block for held in tables for block in held)
        free = max(0, capacity - len(count))
        match chance.randrange(6):
            case 0 | 1 if free:
                block = pool.allocate()
                assert block not in count
                table.append(block)
            case 0 | 1:
                with pytest.raises(OutOfBlocksError):
                    pool.allocate()
            case 2 if count:
                block = chance.choice(list(count))
                pool.share(block)
                table.append(block)
            case 3 if table:
                block = table.pop(chance.randrange(len(table)))
                assert pool.release(block) == (count[block] == 1)
            case 4 if table:
                at = chance.randrange(len(table))
                block = table[at]
                if count[block] == 1:
                    assert pool.writable(block) == block
                elif free:
                    table[at] = pool.writable(block)
                    assert table[at] not in count
                else:
                    with pytest.raises(OutOfBlocksError):
                        pool.writable(block)
            case 5 if chance.random() < 0.05:
                capacity = chance.randrange(4, 16)
                pool.resize(capacity)
        pool.check(tables)
        now = Counter(block for held in tables for block in held)
        assert pool.num_free == max(0, capacity - len(now))
