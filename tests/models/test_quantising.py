"""Fewer bits a weight: the files, what is told of the loss, and nothing half-written."""

import json
import math
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from mlx_spec.errors import ConfigError, ModelError, StorageError, UnsupportedModelError
from mlx_spec.models import quantising
from mlx_spec.models.gguf.importing import weight_error_of
from mlx_spec.models.loading import load_pair
from mlx_spec.models.named import imported_folder
from mlx_spec.models.quantising import quantize
from mlx_spec.models.staging import shutil as staging_shutil
from tests.models.gguf.test_importing import IDS, Usage
from tests.models.gguf.tiny import tiny_gguf
from tests.models.text.sentences import one_sentence


def logits(folder: Path) -> np.ndarray:
    return np.array(load_pair(str(folder)).target(mx.array([IDS]))[0])


@pytest.mark.parametrize(("bits", "least_saved"), [(4, 5.0), (8, 3.0)])
def test_the_files_are_smaller_and_load(
    bits: int, least_saved: float, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = quantize(str(folder), bits, group_size=32)
    assert capsys.readouterr().out == ""
    saved = Path(done.folder)
    assert saved.name == f"tiny-{bits}bit-g32"
    stored = (saved / "model.safetensors").stat().st_size
    assert done.original_bytes / done.weights_bytes > least_saved
    assert stored == pytest.approx(done.weights_bytes, rel=0.1)
    assert json.loads((saved / "config.json").read_text())["quantization"]["bits"] == bits
    apart = np.abs(logits(saved) - logits(folder)).max()
    assert 1e-4 < apart < (3 if bits == 4 else 0.2)
    pair = load_pair(str(saved))
    assert pair.encode("the end") == load_pair(str(folder)).encode("the end")
    assert pair.eos_token_ids == load_pair(str(folder)).eos_token_ids


def test_the_loss_is_the_one_that_numpy_finds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over one passage that is known here, from the logits of the two folders."""
    monkeypatch.setattr(quantising, "_passages", lambda *_: [mx.array(IDS)])
    done = quantize(str(folder), 4)

    def log_softmax(values: np.ndarray) -> np.ndarray:
        wide = values.astype(np.float64)
        return wide - np.log(np.exp(wide).sum(-1, keepdims=True))

    before, after = log_softmax(logits(folder)), log_softmax(logits(Path(done.folder)))
    divergence = (np.exp(before) * (before - after)).sum(-1).mean()
    following = np.arange(len(IDS) - 1), np.array(IDS[1:])
    ratio = math.exp((before[:-1][following] - after[:-1][following]).mean())
    assert done.loss.mean_kl == pytest.approx(divergence, rel=1e-3)
    assert done.loss.perplexity_ratio == pytest.approx(ratio, rel=1e-3)
    assert done.loss.tokens == len(IDS)


def test_eight_bits_lose_less_than_four(folder: Path) -> None:
    four, eight = (quantize(str(folder), bits).loss for bits in (4, 8))
    assert 0 < eight.mean_kl < four.mean_kl / 10
    assert abs(math.log(eight.perplexity_ratio)) < abs(math.log(four.perplexity_ratio))
    assert four.tokens > 100


def test_what_is_quantised_already_is_unpacked_first_or_refused(folder: Path, tmp_path: Path) -> None:
    eight = quantize(str(folder), 8, out=tmp_path / "eight")
    four = quantize(eight.folder, 4, out=tmp_path / "four")
    assert four.weights_bytes < eight.weights_bytes
    assert logits(Path(four.folder)).shape == logits(folder).shape
    with pytest.raises(UnsupportedModelError, match="4 bits a weight already"):
        quantize(four.folder, 8, out=tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    ("bits", "group_size", "error"),
    [(5, 64, ConfigError), (4, 48, ConfigError), (4, 128, UnsupportedModelError)],
)
def test_what_cannot_be_is_one_sentence(bits: int, group_size: int, error: type[Exception], folder: Path) -> None:
    """The tiny model's rows of 64 and 96 have no room for groups of 128."""
    with pytest.raises(error) as caught:
        quantize(str(folder), bits, group_size=group_size)
    assert one_sentence(caught.value)
    assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_that_is_there_stays_as_it_is(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(ModelError, match="already"):
        quantize(str(folder), 4, out=tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_full_disk_is_told_before_the_work(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging_shutil, "disk_usage", lambda path: Usage(10**9, 10**9 - 4_000_000, 4_000_000))
    with pytest.raises(StorageError, match=r"Quantising .* needs 30\.\d MB .* 4\.0 MB are free"):
        quantize(str(folder), 4, out=tmp_path / "out" / "four")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("fault", [RuntimeError("[write] Unable to write"), KeyboardInterrupt()])
def test_nothing_half_written_stays(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    def fails(path: Path, *args: Any, **kwargs: Any) -> None:
        (path / "model.safetensors").write_bytes(b"half")
        raise fault

    monkeypatch.setattr(quantising, "save_model", fails)
    with pytest.raises(StorageError if isinstance(fault, RuntimeError) else KeyboardInterrupt):
        quantize(str(folder), 4, out=tmp_path / "out" / "four")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(("bits", "most"), [(4, 0.12), (8, 0.01)])
def test_a_gguf_file_is_requantised_as_it_is_read_and_the_loss_is_told(bits: int, most: float, tmp_path: Path) -> None:
    source = tiny_gguf("Q8_0")
    path = source.write(tmp_path / "x.gguf")
    folder = imported_folder(path, bits=bits)
    error = weight_error_of(folder)
    assert error is not None
    assert most / 5 < error < most
    weights = mx.load(str(folder / "model.safetensors"))
    assert isinstance(weights, dict)
    stem = "model.layers.0.mlp.up_proj"
    unpacked = mx.dequantize(*(weights[f"{stem}.{part}"] for part in ("weight", "scales", "biases")), 64, bits)
    exact = source.weight("blk.0.ffn_up.weight")
    apart = np.linalg.norm(np.array(unpacked) - exact) / np.linalg.norm(exact)
    assert apart == pytest.approx(error, rel=0.3)
    assert logits(folder).shape == logits(imported_folder(path)).shape
    assert weight_error_of(imported_folder(path)) is None
