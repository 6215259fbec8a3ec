"""A model that was replaced is told from the one before, and a machine that rounds otherwise from this one."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest

from mlx_spec.models import identity
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.identity import circumstances, content_identity
from mlx_spec.models.loading import ModelPair, load_pair
from mlx_spec.models.named import find_folders


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's folder with two files of weights, one of 1 MB."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer.json").write_text("{}")
    for number, size in enumerate((10, 250_000)):
        mx.save_safetensors(str(folder / f"model-{number}.safetensors"), {"w": mx.random.normal((size,))})
    return folder


def told(*folders: Path | None) -> str:
    return content_identity([ModelFolder.at(folder) if folder is not None else None for folder in folders])


def rewritten(path: Path, change: Callable[[bytearray], object]) -> None:
    """Change a file's bytes and nothing that shows from outside, as far as that can be: its size and time stay."""
    before, data = path.stat(), bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def flip(data: bytearray, at: int) -> None:
    data[at] ^= 1


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


REPLACED: dict[str, Callable[[Path], object]] = {
    "another configuration": lambda model: (model / "config.json").write_text('{"model_type": "llamb"}'),
    "a file more": lambda model: (model / "more.safetensors").write_bytes(b"x"),
    "a file less": lambda model: (model / "model-0.safetensors").unlink(),
    "another name": lambda model: (model / "model-0.safetensors").rename(model / "model-2.safetensors"),
    "two exchanged": lambda model: exchange(model / "model-0.safetensors", model / "model-1.safetensors"),
    "longer": lambda model: longer(model / "model-1.safetensors"),
    "code of its own": lambda model: (model / "model.py").write_text("pass"),
    "any byte, with the time as it was": lambda model: rewritten(
        model / "model-1.safetensors", lambda data: flip(data, 777_777)
    ),
}


def exchange(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


@pytest.mark.parametrize("change", REPLACED)
def test_a_model_that_was_replaced_under_its_name_is_another(model: Path, change: str) -> None:
    before = told(model)
    assert told(model) == before
    REPLACED[change](model)
    assert told(model) != before


def test_what_no_pass_reads_does_not_count(model: Path) -> None:
    before = told(model)
    (model / "tokenizer.json").write_text('{"other": 1}')
    (model / ".DS_Store").write_bytes(b"x")
    assert told(model) == before


def test_roles_count(model: Path) -> None:
    other = shutil.copytree(model, model.with_name("other"))
    assert len({told(model), told(model, None), told(model, other), told(other, model), told(model, model)}) == 5


def test_a_link_counts_as_what_it_leads_to(model: Path) -> None:
    """As in the Hub's cache."""
    blob = (model / "model-1.safetensors").rename(model.with_name("blob"))
    (model / "model-1.safetensors").symlink_to(blob)
    before = told(model)
    rewritten(blob, lambda data: flip(data, -1))
    assert told(model) != before


CHANGED: dict[str, Callable[[pytest.MonkeyPatch], object]] = {
    "mlx": lambda patch: patch.setattr(identity, "version", lambda name: "0" if name == "mlx" else "1"),
    "ours": lambda patch: patch.setattr(identity, "_version", lambda name: None),
    "the BLAS": lambda patch: patch.setattr(identity, "blas_build", lambda: "another"),
    "its build": lambda patch: patch.setattr(identity, "blas_file", lambda: Path(__file__)),
    "its threads": lambda patch: patch.setattr(identity.os, "sched_getaffinity", lambda pid: {1, 2, 3, 4, 5, 6, 7}),
    "a setting": lambda patch: patch.setenv("OPENBLAS_CORETYPE", "Prescott"),
    "a precision": lambda patch: patch.setenv("MLX_ENABLE_TF32", "0"),
    "the device": lambda patch: patch.setattr(identity.mx, "default_device", lambda: "Device(gpu, 7)"),
    "the chip": lambda patch: patch.setattr(identity.mx, "device_info", lambda: {"device_name": "M9"}),
    "the system": lambda patch: patch.setattr(identity.platform, "mac_ver", lambda: ("99", "", "")),
}


@pytest.mark.parametrize("change", CHANGED)
def test_a_machine_that_may_round_otherwise_is_another(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if change == "its threads" and not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system tells of no affinity")
    before = circumstances([])
    assert circumstances([]) == before
    CHANGED[change](monkeypatch)
    assert circumstances([]) != before


def test_a_library_that_was_replaced_meanwhile_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Path("/gone/libopenblas.so.0 (deleted)")
    monkeypatch.setattr(identity, "blas_file", lambda: gone)
    assert str(gone) in circumstances([])[4]


def test_the_types_of_weights_count() -> None:
    layers: list[Any] = [nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 32), nn.QuantizedLinear(64, 64)]
    layers[1].set_dtype(mx.bfloat16)
    found = [str(circumstances([layer])) for layer in layers]
    assert len(set(found)) == len(layers)
    assert circumstances([layers[0], None]) != circumstances([layers[0]])


@pytest.mark.starter
def test_a_loaded_pair_knows_its_files(starter_pair: ModelPair, starter_home: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("LOOKAHEAD_HOME", str(starter_home))
    found = find_folders("starter", None)
    assert starter_pair.content == content_identity([found.target, found.draft, *found.heads])
    read = iter(["before", "after"])
    monkeypatch.setattr("mlx_spec.models.loading.content_identity", lambda folders: next(read))
    assert load_pair("starter", "none").content is None, "somebody replaced a file while it was loaded"
    monkeypatch.setattr("mlx_spec.models.loading.content_identity", lambda folders: "same")
    assert load_pair("starter", "none").content == "same"
