"""A model's contents: the same wherever they lie, and another where anything differs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import pytest

from mlx_spec.errors import CorruptModelError
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.splitting.content import content_hash


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 8}))
    mx.random.seed(0)
    tensors = {"a": mx.random.normal((64, 64)), "b": mx.zeros((3,), dtype=mx.float16)}
    mx.save_safetensors(str(folder / "model.safetensors"), tensors)
    return folder


def hash_of(folder: Path) -> str:
    return content_hash(ModelFolder.at(folder))


def test_a_copy_is_the_same_whatever_it_is_called(model: Path) -> None:
    copy = model.with_name("another")
    shutil.copytree(model, copy)
    (copy / "model.safetensors").rename(copy / "model-00001-of-00001.safetensors")
    assert hash_of(copy) == hash_of(model)


def test_so_is_one_that_is_cut_into_other_files(model: Path) -> None:
    before = hash_of(model)
    tensors = mx.load(str(model / "model.safetensors"))
    assert isinstance(tensors, dict)
    for number, name in enumerate(sorted(tensors)):
        mx.save_safetensors(str(model / f"model-0000{number}.safetensors"), {name: mx.array(tensors[name])})
    (model / "model.safetensors").unlink()
    assert hash_of(model) == before


def test_and_one_whose_configuration_only_names_its_tools(model: Path) -> None:
    before = hash_of(model)
    config = {"hidden_size": 8, "transformers_version": "9", "model_type": "llama", "_name_or_path": "/home/x"}
    (model / "config.json").write_text(json.dumps(config))
    assert hash_of(model) == before


def another_config(model: Path) -> None:
    (model / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 8, "rope_theta": 1e6}))


def another_shape(model: Path) -> None:
    mx.random.seed(0)
    tensors = {"a": mx.random.normal((64, 64)), "b": mx.zeros((1, 3), dtype=mx.float16)}
    mx.save_safetensors(str(model / "model.safetensors"), tensors)


def byte_at(fraction: float) -> Callable[[Path], None]:
    """Change a byte of the largest tensor, which stands last."""

    def change(model: Path) -> None:
        file = model / "model.safetensors"
        data = bytearray(file.read_bytes())
        at = len(data) - 64 * 64 * 4 + int(fraction * (64 * 64 * 4 - 1))
        data[at] ^= 1
        file.write_bytes(data)

    return change


@pytest.mark.parametrize("change", [another_config, another_shape, byte_at(0), byte_at(0.5), byte_at(1)])
def test_another_model_is_told(model: Path, change: Callable[[Path], None]) -> None:
    before = hash_of(model)
    change(model)
    assert hash_of(model) != before


def test_what_is_no_model_is_said(model: Path) -> None:
    (model / "model.safetensors").write_bytes(b"short")
    with pytest.raises(CorruptModelError, match="not a safetensors file"):
        hash_of(model)
