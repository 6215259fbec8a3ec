"""What is taken out of MLX's memory comes back bit for bit, and meanwhile MLX has its memory."""

from typing import Any, ClassVar

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.cache.rollback import leaves
from mlx_spec.decoding.cache.snapshot import Snapshot
from mlx_spec.decoding.cache.swapping import Swapped
from tests.zoo import ARCHITECTURES, VOCAB, zoo_model

ROOMY = 1 << 40


class Holder:
    """What says which of its attributes hold arrays."""

    held_in: ClassVar = ("one", "many")

    def __init__(self, one: Any, many: Any, kept: mx.array) -> None:
        self.one, self.many, self.kept = one, many, kept


def bits(array: mx.array) -> Any:
    return array.dtype, tuple(array.shape), bytes(memoryview(mx.contiguous(mx.flatten(array)).view(mx.uint8)))


@pytest.mark.parametrize("room", [ROOMY, 0, 64])
@pytest.mark.parametrize(
    "dtype", [mx.float32, mx.bfloat16, mx.float16, mx.uint32, mx.int32, mx.int64, mx.uint8, mx.bool_, mx.complex64]
)
def test_every_kind_of_number_comes_back(dtype: mx.Dtype, room: int) -> None:
    array = (mx.random.normal((3, 5, 2), key=mx.random.key(1)) * 100).astype(dtype)
    if dtype in (mx.float32, mx.bfloat16, mx.float16):
        array = mx.concatenate(
            [array, mx.full((1, 5, 2), mx.nan, dtype=dtype), mx.full((1, 5, 2), -mx.inf, dtype=dtype)]
        )
    expected = bits(array), bits(array[1:, ::2]), bits(array[0, 0, 0]), bits(array[:0])
    holder = Holder(array, [{"part": array[1:, ::2]}, (array[0, 0, 0], 7, None), "text"], array)
    swapped = Swapped([holder], [array[:0]], room_bytes=room)
    assert holder.kept is array
    assert not isinstance(holder.one, mx.array)
    assert not isinstance(holder.many[0]["part"], mx.array)
    assert holder.many[1][1:] == (7, None)
    assert swapped.in_file == (room < swapped.size_bytes)
    (empty,) = swapped.back()
    assert (bits(holder.one), bits(holder.many[0]["part"]), bits(holder.many[1][0]), bits(empty)) == expected
    assert holder.many[2] == "text"


def test_snapshots_are_values_that_are_swapped_with_the_rest() -> None:
    rows = mx.random.normal((4, 4), key=mx.random.key(2))
    points = {8: {"target": Snapshot(8, ({"keys": rows, "offset": 8},))}}
    swapped = Swapped([], points)
    assert isinstance(points[8]["target"].caches[0]["keys"], mx.array)
    back = swapped.back()[8]["target"]
    assert (back.length, back.caches[0]["offset"]) == (8, 8)
    assert bits(back.caches[0]["keys"]) == bits(rows)


def arrays_of(cached: CachedModel) -> list[mx.array]:
    held = [vars(cache) for cache in leaves(cached.caches)]
    return [array for _, array in tree_flatten(held) if isinstance(array, mx.array)]


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_goes_on_as_if_nothing_had_been(name: str) -> None:
    """Behind a pass that can still be taken back, wholly or in part."""
    model = zoo_model(name)
    pair = [CachedModel(model, name, speculative=True) for _ in range(2)]
    for cached in pair:
        cached.prefill([number % VOCAB for number in range(21)])
        cached.score(mx.array([1, 2, 3, 4], dtype=mx.int32), kept=1)
    expected = [bits(array) for array in arrays_of(pair[0])]
    swapped = Swapped([pair[1]])
    assert arrays_of(pair[1]) == []
    swapped.back()
    assert [bits(array) for array in arrays_of(pair[1])] == expected
    for count in (2, 1):
        rows = []
        for cached in pair:
            cached.forget(count)
            rows.append(cached.score(mx.array([5, 6, 7], dtype=mx.int32), kept=1))
        assert bits(rows[0]) == bits(rows[1])
        Swapped([pair[1]]).back()


def test_the_memory_is_free_meanwhile() -> None:
    cached = CachedModel(zoo_model("llama"), "llama", speculative=True)
    cached.prefill([number % VOCAB for number in range(3_000)])
    mx.clear_cache()
    before = mx.get_active_memory()
    size = sum(array.nbytes for array in arrays_of(cached))
    swapped = Swapped([cached])
    assert before - mx.get_active_memory() > size // 2
    assert swapped.size_bytes >= size
    swapped.back()
    assert abs(mx.get_active_memory() - before) <= size // 2


def test_what_a_pass_could_be_taken_back_to_is_swapped_too() -> None:
    """States before a pass, and tokens that wait to be fed again."""
    cached = CachedModel(zoo_model("mamba2"), "mamba2", speculative=True)
    cached.prefill([1, 2, 3])
    cached.score(mx.array([1, 2, 3, 4], dtype=mx.int32), kept=1)
    cached.forget(1)
    assert cached._behind is not None
    waiting = bits(cached._behind)
    swapped = Swapped([cached])
    assert not isinstance(cached._behind, mx.array)
    swapped.back()
    assert bits(cached._behind) == waiting
    cached.score(mx.array([5, 6, 7], dtype=mx.int32), kept=1)
    rollback = cached._rollback
    assert rollback is not None

    def held() -> list[mx.array]:
        return [one for _, one in tree_flatten([[one.token_ids, one.marks] for one in rollback._passes])]

    before = [bits(array) for array in held() if isinstance(array, mx.array)]
    assert len(before) > 2
    swapped = Swapped([cached])
    assert not any(isinstance(array, mx.array) for array in held())
    swapped.back()
    assert [bits(array) for array in held() if isinstance(array, mx.array)] == before
