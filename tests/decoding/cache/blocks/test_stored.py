"""A block as a file: what comes back is what was written, to the bit, or nothing is."""

import gc
import io
import math
import weakref
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import QuantizedKVCache, make_prompt_cache

from mlx_spec.decoding.cache.blocks import stored
from mlx_spec.decoding.cache.blocks.stored import BlockName, StoredBlock, packed, unpacked
from mlx_spec.decoding.cache.rollback import leaves
from mlx_spec.decoding.cache.snapshot import Snapshot, restore, snapshot_of
from tests.decoding.cache.blocks.texts import same_tree
from tests.zoo import ARCHITECTURES, VOCAB, zoo_model

WHO, KEY, PARENT = "somebody", b"k" * 16, b"p" * 16
IDS = np.arange(8, dtype=np.int32)


def written(content: Any, who: str = WHO) -> tuple[BlockName, bytes]:
    """A block's name and bytes."""
    data = bytes(packed(StoredBlock(KEY, PARENT, IDS, content)))
    return BlockName.of(who, KEY, PARENT, data), data


def again(content: Any) -> Any:
    """Content as it comes back."""
    name, data = written(content)
    block = unpacked(name, WHO, data)
    assert (block.key, block.parent) == (KEY, PARENT)
    assert block.token_ids.dtype == np.int32
    assert np.array_equal(block.token_ids, IDS)
    return block.content


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        (),
        {},
        [(1, [2, (3,)]), {"a": {"b": ()}}],
        {"array": 0, "tuple": [1], "dict": {"bytes": "00"}, "": None},
        [True, 1, 1.0, -0.0, 0.1, math.inf, -math.inf, math.nan, 1 << 100, -1],
        ["", "é\0\n\ud800", b"", b"\0\xff"],
    ],
    ids=repr,
)
def test_a_tree_comes_back(content: Any) -> None:
    assert same_tree(again(content), content)


@pytest.mark.parametrize(
    "kind",
    [
        mx.bool_, mx.uint8, mx.uint16, mx.uint32, mx.uint64, mx.int8, mx.int16, mx.int32, mx.int64,
        mx.float16, mx.bfloat16, mx.float32, mx.complex64,
    ],
    ids=str,
)  # fmt: skip
def test_arrays_of_every_kind_come_back_in_every_layout(kind: mx.Dtype) -> None:
    array = (mx.random.normal((2, 6, 4)) * 10).astype(kind)
    layouts = [array, array[:, 1:4], array[..., ::2], array.transpose(2, 0, 1), array[:, :0], array[0, 0, 0]]
    assert same_tree(again(layouts), layouts)


def test_numbers_that_are_none_come_back() -> None:
    numbers = mx.array([math.nan, math.inf, -math.inf, -0.0, 1e-45])
    assert same_tree(again([numbers, numbers.astype(mx.bfloat16)]), [numbers, numbers.astype(mx.bfloat16)])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_a_models_caches_hold_comes_back(name: str) -> None:
    """As a snapshot of all their attributes; and a model that goes on from it says the same, to the bit."""
    model = zoo_model(name)
    caches = make_prompt_cache(model)
    read = mx.random.randint(0, VOCAB, (1, 21), key=mx.random.key(3))
    mx.eval(model(read[:, :12], caches), model(read[:, 12:20], caches))
    kept = snapshot_of(list(leaves(caches)), 20).caches
    found = again({"target": kept})
    assert same_tree(found, {"target": kept})
    others = make_prompt_cache(model)
    restore(Snapshot(20, found["target"]), list(leaves(others)))
    assert same_tree(model(read[:, 20:], others), model(read[:, 20:], caches))


@pytest.mark.parametrize(("bits", "kind"), [(8, mx.bfloat16), (4, mx.float16), (4, mx.float32)])
def test_a_quantised_cache_comes_back(bits: int, kind: mx.Dtype) -> None:
    cache = QuantizedKVCache(group_size=32, bits=bits)
    cache.update_and_fetch(*[mx.random.normal((1, 2, 9, 64)).astype(kind)] * 2)
    assert same_tree(again(vars(cache)), vars(cache))
    assert cache.keys[0].dtype == mx.uint32


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (object(), "object"),
        ({1: 2}, "dict"),
        ({"a": [np.arange(3)]}, "ndarray"),
        (mx.float32, "Dtype"),
        ({1, 2}, "set"),
        (np.float64(1), "float64"),
    ],
)
def test_what_no_tree_of_ours_holds_is_refused_by_name(content: Any, kind: str) -> None:
    with pytest.raises(TypeError, match=f"^{kind} cannot be kept"):
        packed(StoredBlock(KEY, PARENT, IDS, content))


def test_an_array_that_safetensors_does_not_know_is_refused() -> None:
    with pytest.raises(TypeError, match="an array cannot be kept"):
        packed(StoredBlock(KEY, PARENT, IDS, [mx.array([1.0], dtype=mx.float64)]))


def test_a_wrong_bit_anywhere_is_found_before_mlx_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    name, data = written({"keys": mx.arange(12).reshape(3, 4), "offset": 3})

    def load(*_: Any, **__: Any) -> None:
        raise AssertionError("MLX was given damaged bytes")

    monkeypatch.setattr(stored.mx, "load", load)
    wrong = [bytes([*data[:at], data[at] ^ 1 << at % 8, *data[at + 1 :]]) for at in range(len(data))]
    wrong += [data[:length] for length in range(len(data))] + [data + b"\0", data + data, b"\0" * len(data)]
    for bad in wrong:
        with pytest.raises(ValueError, match="not those that were written"):
            unpacked(name, WHO, bad)
    with pytest.raises(AssertionError):
        unpacked(name, WHO, data)


def test_a_block_of_somebody_else_or_under_another_name_is_not_believed() -> None:
    name, data = written([1])
    other = b"o" * 16
    for wrong, who in (
        (name, "somebody-else"),
        (BlockName(other, name.parent, name.digest), WHO),
        (BlockName(name.key, other, name.digest), WHO),
        (BlockName(name.key, b"", name.digest), WHO),
        (BlockName(name.key, name.parent, "0" * 32), WHO),
    ):
        with pytest.raises(ValueError, match="not those that were written"):
            unpacked(wrong, who, data)
    assert unpacked(name, WHO, data).content == [1]


def sound_otherwise(tensors: dict[str, mx.array], beside: dict[str, str]) -> tuple[BlockName, bytes]:
    """A file with a right name that another version may have written."""
    stream = io.BytesIO()
    mx.save_safetensors(stream, tensors, beside)
    return BlockName.of(WHO, KEY, PARENT, stream.getvalue()), stream.getvalue()


@pytest.mark.parametrize(
    ("tensors", "beside"),
    [
        ({}, {"content": "1"}),
        ({"token_ids": mx.array(IDS)}, {}),
        ({"token_ids": mx.array(IDS)}, {"content": "{"}),
        ({"token_ids": mx.array(IDS)}, {"content": '{"array": 0}'}),
        ({"token_ids": mx.array(IDS)}, {"content": '{"set": []}'}),
        ({"token_ids": mx.array(IDS)}, {"content": '{"tuple": [], "dict": {}}'}),
        ({"token_ids": mx.array(IDS)}, {"content": '{"tuple": 3}'}),
        ({"token_ids": mx.array(IDS)[None]}, {"content": "1"}),
        ({"token_ids": mx.array(IDS).astype(mx.float32)}, {"content": "1"}),
    ],
)
def test_a_whole_file_that_makes_no_sense_is_refused(tensors: dict[str, mx.array], beside: dict[str, str]) -> None:
    name, data = sound_otherwise(tensors, beside)
    with pytest.raises(ValueError, match=r"cannot be read|are none"):
        unpacked(name, WHO, data)


def test_bytes_that_are_no_safetensors_are_refused_though_their_name_is_right() -> None:
    data = b"\xff" * 40
    with pytest.raises(ValueError, match="cannot be read"):
        unpacked(BlockName.of(WHO, KEY, PARENT, data), WHO, data)


def test_a_block_needs_its_bytes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read lazily: a file that is gone later, or shorter, matters to nobody."""
    streams: list[Any] = []

    class Watched(stored.io.BytesIO):
        def __init__(self, *data: bytes) -> None:
            super().__init__(*data)
            streams.append(weakref.ref(self))

    name, data = written([mx.arange(1000)])
    monkeypatch.setattr(stored.io, "BytesIO", Watched)
    block = unpacked(name, WHO, data)
    gc.collect()
    assert streams
    assert [stream() for stream in streams] == [None]
    assert mx.array_equal(block.content[0], mx.arange(1000)).item()


def test_names_are_read_as_they_are_written() -> None:
    for parent in (PARENT, b""):
        name = BlockName.of(WHO, KEY, parent, b"data")
        assert BlockName.read(str(name)) == name
    first = str(BlockName.of(WHO, KEY, b"", b"data"))
    for wrong in (first.upper(), first[1:], first + "x", "notes.safetensors", "", first.replace("first", "last")):
        assert BlockName.read(wrong) is None


@pytest.mark.parametrize(("key", "parent"), [(b"", b""), (b"k" * 15, b""), (KEY, b"p" * 8)])
def test_a_key_that_is_no_hash_is_refused(key: bytes, parent: bytes) -> None:
    with pytest.raises(ValueError, match="block's key has 16 bytes"):
        BlockName.of(WHO, key, parent, b"")
