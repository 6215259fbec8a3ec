"""Importing GGUF: the right numbers, and one sentence and no litter for every file that cannot be imported."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
import pytest

from mlx_spec.errors import (
    CorruptModelError,
    LookaheadError,
    ModelNotFoundError,
    StorageError,
    UnsupportedModelError,
)
from mlx_spec.models.gguf.header import read_header
from mlx_spec.models.gguf.importing import dtype_suffix, import_gguf, is_imported, unpermuted_rows
from mlx_spec.models.gguf.shape import read_shape
from mlx_spec.models.loading import load_pair
from mlx_spec.models.named import imported_folder
from tests.models.gguf.tiny import HEAD_DIM, HEADS, TinyGGUF, numpy_logits, tiny_gguf
from tests.models.text.sentences import one_sentence

IDS = [1, 40, 200, 258, 259, 3, 77, 2, 100, 41]


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def refuse(path: Path, folder: Path, kind: type[LookaheadError], **options: Any) -> str:
    with pytest.raises(kind) as caught:
        import_gguf(path, folder, source="test", **options)
    assert not folder.parent.exists() or list(folder.parent.iterdir()) == []
    return one_sentence(caught.value)


@pytest.mark.parametrize("matrix_type", ["Q4_0", "Q4_1", "Q5_0", "Q8_0", "BF16", "F16", "F32"])
@pytest.mark.parametrize("tied", [True, False])
def test_logits_equal_a_numpy_forward_of_the_file(tmp_path: Path, matrix_type: str, tied: bool) -> None:
    source = tiny_gguf(matrix_type, tied=tied)
    pair = load_pair(str(source.write(tmp_path / "tiny.gguf")))
    logits = np.array(pair.target(mx.array([IDS]))[0])
    np.testing.assert_allclose(logits, numpy_logits(source, IDS), atol=2e-4)
    assert pair.vocab_size == logits.shape[-1]
    assert pair.context_length == 256


@pytest.mark.parametrize("matrix_type", ["Q4_0", "Q4_1", "Q5_0", "Q8_0", "BF16", "F16"])
def test_imported_weights_equal_the_bytes_of_the_file(tmp_path: Path, matrix_type: str) -> None:
    source = tiny_gguf(matrix_type)
    import_gguf(source.write(tmp_path / "tiny.gguf"), tmp_path / "models" / "tiny", source="test")
    weights = mx.load(str(tmp_path / "models" / "tiny" / "model.safetensors"))
    assert isinstance(weights, dict)
    up = np.array(weights["model.layers.1.mlp.up_proj.weight"])
    np.testing.assert_allclose(up, source.weight("blk.1.ffn_up.weight"), rtol=1e-6, atol=1e-7)
    query, stored = np.array(weights["model.layers.0.self_attn.q_proj.weight"]), source.weight("blk.0.attn_q.weight")
    half = HEAD_DIM // 2
    for row in range(HEADS * HEAD_DIM):
        head, place = divmod(row, HEAD_DIM)
        partner = head * HEAD_DIM + 2 * (place % half) + place // half
        np.testing.assert_allclose(query[row], stored[partner], rtol=1e-6, atol=1e-7)


def test_a_gpu_gets_bfloat16(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx, "default_device", lambda: mx.Device(mx.DeviceType.gpu))
    assert dtype_suffix() == "bf16"
    folder = import_gguf(tiny, tmp_path / "models" / "tiny", source="test")
    weights = mx.load(str(folder / "model.safetensors"))
    assert isinstance(weights, dict)
    assert {weight.dtype for weight in weights.values()} == {mx.bfloat16}
    assert json.loads((folder / "config.json").read_text())["torch_dtype"] == "bfloat16"


def test_unpermuting_undoes_the_converter() -> None:
    rows = np.arange(24.0).reshape(12, 2)  # 2 heads of 6
    permuted = rows.reshape(2, 2, 3, 2).swapaxes(1, 2).reshape(12, 2)  # convert_hf_to_gguf.py's own line
    assert np.array_equal(np.array(unpermuted_rows(mx.array(permuted), 2)), rows)


def test_truncation_anywhere_is_one_sentence_and_leaves_nothing(tmp_path: Path, gguf: TinyGGUF) -> None:
    whole = gguf.as_bytes()
    file, folder = tmp_path / "cut.gguf", tmp_path / "models" / "cut"
    cuts = [0, 1, 3, 4, 7, 8, 20, 24, 30, *range(100, len(whole), len(whole) // 97), len(whole) - 33, len(whole) - 1]
    for cut in cuts:
        file.write_bytes(whole[:cut])
        assert "cut.gguf" in refuse(file, folder, CorruptModelError)


def test_a_damaged_head_never_gets_as_far_as_mlx(tmp_path: Path, gguf: TinyGGUF) -> None:
    """Any one byte of the head changed: refused by us, or harmless; never an error of another kind."""
    whole = bytearray(gguf.as_bytes())
    file, random, messages = tmp_path / "bad.gguf", np.random.default_rng(0), []
    for place in random.integers(0, 6000, 400):
        damaged = whole.copy()
        damaged[place] ^= int(random.integers(1, 256))
        file.write_bytes(damaged)
        try:
            read_shape(read_header(file))
        except (CorruptModelError, UnsupportedModelError) as error:
            messages.append(one_sentence(error))
    assert len(messages) > 50


def test_what_is_not_a_gguf_file(tmp_path: Path, tiny: Path) -> None:
    folder = tmp_path / "models" / "x"
    other = tmp_path / "other.gguf"
    other.write_bytes(b"PK\x03\x04" + tiny.read_bytes()[4:])
    assert "is not a GGUF file" in refuse(other, folder, CorruptModelError)
    other.write_bytes(b"GGUF\x01\x00\x00\x00" + tiny.read_bytes()[8:])
    assert "version 1" in refuse(other, folder, UnsupportedModelError)
    assert "There is no file" in refuse(tmp_path / "absent.gguf", folder, ModelNotFoundError)
    assert "cannot be read" in refuse(tmp_path, folder, ModelNotFoundError)


def test_what_an_older_version_imported_is_imported_again(tiny: Path) -> None:
    folder = imported_folder(tiny)
    record = json.loads((folder / "import.json").read_text())
    (folder / "import.json").write_text(json.dumps(record | {"format": record["format"] - 1}))
    (folder / "tokenizer.json").write_text("{}")
    assert imported_folder(tiny) == folder
    assert json.loads((folder / "tokenizer.json").read_text()) != {}


def test_another_checksum_is_refused(tmp_path: Path, tiny: Path) -> None:
    message = refuse(tiny, tmp_path / "models" / "x", CorruptModelError, sha256="0" * 64)
    assert "checksum" in message


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("general.architecture", "mamba", "mamba"),
        ("tokenizer.ggml.model", "bert", "bert"),
        ("tokenizer.ggml.pre", "viking", "viking"),
        ("llama.rope.scaling.type", "dynamic", "dynamic"),
    ],
)
def test_unknown_kinds_are_named(tmp_path: Path, gguf: TinyGGUF, key: str, value: str, named: str) -> None:
    gguf.metadata[key] = value
    assert f"'{named}'" in refuse(gguf.write(tmp_path / "x.gguf"), tmp_path / "models" / "x", UnsupportedModelError)


def test_unknown_tensors_and_quantisations_are_named(tmp_path: Path, gguf: TinyGGUF) -> None:
    gguf.type_numbers["blk.1.ffn_up.weight"] = 77
    assert "type 77" in refuse(gguf.write(tmp_path / "x.gguf"), tmp_path / "models" / "x", UnsupportedModelError)
    gguf.type_numbers.clear()
    gguf.tensors["blk.0.ffn_gate_inp.weight"] = (np.ones((4, 64), np.float32), "F32")
    assert "ffn_gate_inp" in refuse(gguf.write(tmp_path / "x.gguf"), tmp_path / "models" / "x", UnsupportedModelError)


@pytest.mark.parametrize(
    "key", ["llama.block_count", "llama.attention.head_count", "tokenizer.ggml.tokens", "tokenizer.ggml.eos_token_id"]
)
def test_missing_fields_are_named(tmp_path: Path, gguf: TinyGGUF, key: str) -> None:
    del gguf.metadata[key]
    assert key in refuse(gguf.write(tmp_path / "x.gguf"), tmp_path / "models" / "x", CorruptModelError)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tokenizer.ggml.merges", ["t h", "q q q q"]),
        ("tokenizer.ggml.token_type", [1, 1]),
        ("tokenizer.ggml.eos_token_id", 100_000),
        ("llama.attention.head_count", 0),
        ("llama.attention.head_count_kv", 7),
        ("llama.block_count", 3),
        ("llama.feed_forward_length", 95),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, gguf: TinyGGUF, key: str, value: Any) -> None:
    gguf.metadata[key] = value
    assert "x.gguf" in refuse(gguf.write(tmp_path / "x.gguf"), tmp_path / "models" / "x", CorruptModelError)


def test_a_full_disk_is_told_before_the_work(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9 - 4_000_000, 4_000_000))
    message = refuse(tiny, tmp_path / "models" / "x", StorageError)
    assert "16.3 MB" in message
    assert "4.0 MB" in message


def test_a_disk_that_fills_up_meanwhile(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("[write] Unable to write 10 bytes to file.")

    monkeypatch.setattr(mx, "save_safetensors", full)
    assert "cannot be written" in refuse(tiny, tmp_path / "models" / "x", StorageError)


def test_an_interrupt_leaves_nothing(tmp_path: Path, tiny: Path) -> None:
    def interrupt(stage: str, fraction: float) -> None:
        if stage == "saving":
            raise KeyboardInterrupt

    folder = tmp_path / "models" / "x"
    with pytest.raises(KeyboardInterrupt):
        import_gguf(tiny, folder, source="test", progress=interrupt)
    assert list(folder.parent.iterdir()) == []


def test_progress_runs_through_the_stages(tmp_path: Path, tiny: Path) -> None:
    told: list[tuple[str, float]] = []
    import_gguf(tiny, tmp_path / "models" / "x", source="test", progress=lambda *args: told.append(args))
    assert list(dict.fromkeys(stage for stage, _ in told)) == ["checking", "importing", "saving"]
    assert all(0 <= fraction <= 1 for _, fraction in told)
    assert [fraction for stage, fraction in told if stage == "importing"][-1] == 1


def test_whoever_finishes_first_wins(tmp_path: Path, tiny: Path) -> None:
    """Another process finishes the same import while ours is at work."""
    folder = tmp_path / "models" / "x"

    def overtake(stage: str, fraction: float) -> None:
        if (stage, fraction) == ("saving", 0.0):
            import_gguf(tiny, folder, source="the other one")

    import_gguf(tiny, folder, source="ours", progress=overtake)
    assert is_imported(folder)
    assert "the other one" in (folder / "import.json").read_text()
    assert [path.name for path in folder.parent.iterdir()] == ["x"]


def test_a_damaged_import_is_made_again_and_litter_removed(tmp_path: Path, tiny: Path) -> None:
    folder = import_gguf(tiny, tmp_path / "models" / "x", source="test")
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    assert not is_imported(folder)
    (folder.parent / "x.part-999999999-killed").mkdir()  # no process has this id
    import_gguf(tiny, folder, source="test")
    assert is_imported(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["x"]
