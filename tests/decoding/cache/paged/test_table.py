"""A table puts tokens where its text goes on, and never into a block that somebody else holds."""

import random

import mlx.core as mx
import numpy as np
import pytest

from mlx_spec.decoding.cache.paged.arrays import LayerBlocks, Piece
from mlx_spec.decoding.cache.paged.table import BlockTable
from tests.decoding.cache.blocks.counted import CountedBlocks

SIZE, HEADS, WIDTH = 4, 2, 3


def test_tokens_are_cut_where_blocks_end() -> None:
    table = BlockTable(CountedBlocks(9), [], SIZE)
    assert table.make_room(0, 3) == [Piece(0, 0, 0, 3)]
    assert table.make_room(3, 10) == [Piece(0, 3, 0, 1), Piece(1, 0, 1, 4), Piece(2, 0, 5, 2)]
    assert table.make_room(4, 8) == [Piece(1, 0, 0, 4)]
    assert table.blocks == (0, 1, 2)


def stored(table: BlockTable, layer: LayerBlocks, length: int) -> list[float]:
    assert layer.keys is not None
    parts = [np.array(layer.keys[block]) for block in table.blocks]
    rows = np.concatenate(parts, axis=1)[:, :length]
    assert (rows == rows[:1, :, :1]).all()
    return list(rows[0, :, 0])


def test_any_order_of_writing_sharing_and_cutting() -> None:
    """Beside a list for each text; tables that are given back leave nothing held."""
    draw = random.Random(4)
    pool = CountedBlocks(60, seed=1)
    layers = [LayerBlocks(7, SIZE), LayerBlocks(60, SIZE)]
    tables: list[tuple[BlockTable, list[float]]] = [(BlockTable(pool, layers, SIZE), [])]
    written = 0.0
    for _ in range(400):
        at = draw.randrange(len(tables))
        table, text = tables[at]
        what = draw.choice(["write", "write", "write", "lower", "cut", "share", "end"])
        if what == "write" and len(text) < 30:
            count = draw.randrange(1, 12)
            new = [written + i for i in range(count)]
            written += count
            tokens = mx.broadcast_to(mx.array(new)[None, :, None], (HEADS, count, WIDTH))
            pieces = table.make_room(len(text), len(text) + count)
            for layer in layers:
                layer.write(pieces, tokens, -tokens)
            text += new
        elif what in ("lower", "cut") and text:
            del text[draw.randrange(len(text)) :]
            if what == "cut":
                table.cut(len(text))
                assert len(table.blocks) == -(-len(text) // SIZE)
        elif what == "share" and len(tables) < 4:
            tables.append((table.shared(), list(text)))
        elif what == "end" and len(tables) > 1:
            table.release()
            del tables[at]
        for table, text in tables:
            if text:
                for layer in layers:
                    assert stored(table, layer, len(text)) == text
    assert sum(pool.held.values()) == sum(len(table.blocks) for table, _ in tables)
    for table, _ in tables:
        table.release()
    assert not +pool.held
    assert len(pool.free) == 60


def test_a_full_pool_loses_nothing() -> None:
    pool = CountedBlocks(3)
    layer = LayerBlocks(3, SIZE)
    table = BlockTable(pool, [layer], SIZE)
    tokens = mx.ones((HEADS, 9, WIDTH))
    layer.write(table.make_room(0, 9), tokens, tokens)
    other = table.shared()
    with pytest.raises(MemoryError):
        other.make_room(9, 11)  # its last block is shared, and there is none to copy it into
    assert other.blocks == table.blocks
    assert stored(other, layer, 9) == [1.0] * 9
    table.release()
    assert other.make_room(9, 11) == [Piece(2, 1, 0, 2)]


def test_writing_and_copying_blocks_copies_no_pool() -> None:
    at_first = mx.get_active_memory()
    layer = LayerBlocks(500, 64)
    pool = CountedBlocks(500)
    table = BlockTable(pool, [layer], 64)
    tokens = mx.ones((HEADS, 100, 16))
    layer.write(table.make_room(0, 100), tokens, tokens)
    mx.eval(layer.arrays)
    assert layer.keys is not None
    before = mx.get_active_memory()
    assert before - at_first < 2.1 * layer.keys.nbytes  # there is one pool, of keys and values
    mx.reset_peak_memory()
    other = table.shared()
    for at in (100, 120, 140):
        for one in (table, other):
            layer.write(one.make_room(at, at + 20), tokens[:, :20], tokens[:, :20])
        mx.eval(layer.arrays)
    assert mx.get_peak_memory() - before < layer.keys.nbytes / 10
    assert table.blocks[0] == other.blocks[0]
    assert table.blocks[1] != other.blocks[1]
