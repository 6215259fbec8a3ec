"""Keys and values of many answers in one array: each answer's caches hold its own, whatever becomes of the others."""

import gc

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import KVCache

from mlx_spec.decoding.cache.passes.attention import attend
from mlx_spec.decoding.cache.passes.shared_slots import Seating, SharedSlots, layout_of
from mlx_spec.decoding.cache.passes.slots import Places
from mlx_spec.models.memory import rows_are_independent

HEADS, KV_HEADS, SIZE, WIDTH = 4, 2, 256, 8


def answer(length: int, seed: int, layers: int = 2) -> list[KVCache]:
    """The caches of an answer that has read so many tokens."""
    caches = []
    for layer in range(layers):
        cache = KVCache()
        shape = (1, KV_HEADS, length, WIDTH)
        cache.update_and_fetch(*(mx.random.normal(shape, key=mx.random.key(10 * seed + layer + k)) for k in (0, 5)))
        caches.append(cache)
    return caches


def kept(caches: list[KVCache]) -> list[np.ndarray]:
    return [np.array(array[:, :, : cache.offset]) for cache in caches for array in (cache.keys, cache.values)]


def write(shared: SharedSlots, every: list[list[KVCache]], counts: list[int], seed: int = 0) -> list[mx.array]:
    """A pass: what it writes of each answer, `[1, heads, n, width]`, the same in each layer."""
    seating = seated(shared, every, counts)
    new = [mx.random.normal((1, KV_HEADS, n, WIDTH), key=mx.random.key(100 + seed + i)) for i, n in enumerate(counts)]
    with shared.lent(seating) as layers:
        for layer in layers:
            layer.update_and_fetch(mx.concatenate(new, axis=2), mx.concatenate(new, axis=2))
    for caches, count in zip(every, counts, strict=True):
        for cache in caches:
            cache.offset += count
    return new


def seated(shared: SharedSlots, every: list[list[KVCache]], counts: list[int]) -> Seating:
    places = zip(every, counts, strict=True)
    written = mx.concatenate([mx.arange(count) + caches[0].offset for caches, count in places])
    return Seating(layout_of(shared.seat(every), counts, shared.size, written, SIZE))


def test_each_answer_has_what_it_had_and_what_was_written_of_it() -> None:
    shared, every = SharedSlots(), [answer(n, n) for n in (5, 60, 17)]
    before = [kept(caches) for caches in every]
    new = write(shared, every, [1, 3, 2])
    for caches, had, got in zip(every, before, new, strict=True):
        for now, was in zip(kept(caches), had, strict=True):
            np.testing.assert_array_equal(now, np.concatenate([was, np.array(got)], axis=2))


def test_who_comes_later_who_has_other_arrays_and_who_is_idle_keep_their_own() -> None:
    shared, every = SharedSlots(), [answer(n, n) for n in (5, 60, 17)]
    write(shared, every[:2], [1, 1])
    every[0][1].keys = mx.array(every[0][1].keys)  # another object: as whoever chooses from a tree leaves
    expected = [kept(caches) for caches in every]
    for turn, counts in enumerate(([1, 0, 2], [2, 2, 2], [0, 1, 1])):
        among = [i for i, count in enumerate(counts) if count]
        new = write(shared, [every[i] for i in among], [counts[i] for i in among], seed=10 * turn)
        for i, got in zip(among, new, strict=True):
            expected[i] = [np.concatenate([was, np.array(got)], axis=2) for was in expected[i]]
    for caches, had in zip(every, expected, strict=True):
        for now, was in zip(kept(caches), had, strict=True):
            np.testing.assert_array_equal(now, was)


def test_the_row_of_one_that_has_ended_is_the_next_ones() -> None:
    shared, every = SharedSlots(), [answer(n, n) for n in (5, 60, 17)]
    write(shared, every, [1, 1, 1])
    del every[1]
    gc.collect()
    every.append(answer(9, 9))
    expected = [kept(caches) for caches in every]
    assert shared.seat(every) == [0, 2, 1]
    for caches, had in zip(every, expected, strict=True):
        for now, was in zip(kept(caches), had, strict=True):
            np.testing.assert_array_equal(now, was)


def test_rows_are_written_in_place() -> None:
    shared, every = SharedSlots(), [answer(100, n, layers=1) for n in range(8)]
    write(shared, every, [1] * 8)
    mx.eval([cache.state for caches in every for cache in caches])
    write(shared, every, [1] * 8)  # of those that were looked at there may be a copy
    mx.eval([shared._arrays])
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    write(shared, every, [1] * 8)
    mx.eval([shared._arrays])
    assert mx.get_peak_memory() - before < shared._arrays[0][0].nbytes / 2


def test_when_all_have_ended_nothing_is_held() -> None:
    shared, every = SharedSlots(), [answer(5, n) for n in range(3)]
    write(shared, every, [1, 1, 1])
    every.pop()
    gc.collect()
    assert shared.size == 3
    every.clear()
    gc.collect()
    assert shared.size == 0


def test_a_pass_that_fails_loses_nothing() -> None:
    shared, every = SharedSlots(), [answer(5, n) for n in range(2)]
    expected, seating = [kept(caches) for caches in every], seated(shared, every, [1, 1])

    def fails() -> None:
        with shared.lent(seating) as layers:
            layers[0].update_and_fetch(*(mx.zeros((1, KV_HEADS, 2, WIDTH)) for _ in range(2)))
            raise KeyError("of the model's own code")

    with pytest.raises(KeyError):
        fails()
    for caches, had in zip(every, expected, strict=True):
        for now, was in zip(kept(caches), had, strict=True):
            np.testing.assert_array_equal(now, was)


@pytest.mark.parametrize("counts", [[1, 1, 1], [2, 1, 3]])
def test_each_row_finds_what_it_finds_alone(counts: list[int]) -> None:
    shared, every = SharedSlots(), [answer(n, n, layers=1) for n in (5, 60, 17)]
    queries = [mx.random.normal((1, HEADS, n, WIDTH), key=mx.random.key(n + i)) for i, n in enumerate(counts)]
    seating = seated(shared, every, counts)
    new = mx.random.normal((1, KV_HEADS, sum(counts), WIDTH), key=mx.random.key(7))
    with shared.lent(seating) as (layer,):
        mask = layer.make_mask(sum(counts))
        keys, values = layer.update_and_fetch(new, new)
        found = keys.attend(mx.concatenate(queries, axis=2), values, cache=layer, scale=0.3, mask=mask, sinks=None)
    at = 0
    for caches, query, count in zip(every, queries, counts, strict=True):
        places = Places(SIZE, mx.array(caches[0].offset, dtype=mx.int32))
        alone = attend(query, caches[0].keys, caches[0].values, None, 0.3, places.mask(count, None), None)
        check = np.testing.assert_array_equal if rows_are_independent() else np.testing.assert_allclose
        check(
            np.array(found[:, :, at : at + count]),
            np.array(alone),
            **({} if rows_are_independent() else {"rtol": 1e-5}),
        )
        at += count
