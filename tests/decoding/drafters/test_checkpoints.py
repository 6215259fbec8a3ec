"""Published heads are recognised, read in either file format, and refused with the reason where they do not fit."""

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

from mlx_spec.errors import CorruptModelError, IncompatiblePairError, UnsupportedModelError
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.heads.checkpoint import read_checkpoint
from mlx_spec.models.heads.loading import load_head
from mlx_spec.models.heads.torch_file import load_torch_file
from tests.decoding.drafters.published import dflash, eagle1, eagle3, medusa, target, write
from tests.tiny import tiny_llama

PUBLISHED: dict[str, Callable[[Path], tuple[Path, dict[str, Any]]]] = {
    "eagle3": eagle3,
    "eagle": eagle1,
    "medusa": medusa,
    "dflash": dflash,
}
TORCH_FILE = Path(__file__).with_name("data") / "head.bin"


@pytest.mark.parametrize("kind", PUBLISHED)
def test_a_head_is_told_by_its_folder(tmp_path: Path, kind: str) -> None:
    assert ModelFolder.at(PUBLISHED[kind](tmp_path)[0]).head_kind == kind


def test_a_language_model_is_no_head(tmp_path: Path) -> None:
    write(tmp_path, {"model_type": "llama", "num_hidden_layers": 1}, {"model.norm.weight": np.ones(4, np.float32)})
    assert ModelFolder.at(tmp_path).head_kind is None
    assert ModelFolder.at(tmp_path / "nowhere").head_kind is None


@pytest.mark.parametrize("kind", PUBLISHED)
def test_a_head_for_another_target_is_refused_with_the_reason(tmp_path: Path, kind: Any) -> None:
    folder, _ = PUBLISHED[kind](tmp_path)
    for other in (tiny_llama(0, layers=6, hidden=64), tiny_llama(0, layers=6, vocab=300)):
        with pytest.raises(IncompatiblePairError, match=r"cannot draft for other: .*(wide|tokens)"):
            load_head(folder, kind, other, "other")


def test_a_head_that_reads_layers_which_the_target_lacks_is_refused(tmp_path: Path) -> None:
    folder, _ = eagle3(tmp_path, eagle_config={"eagle_aux_hidden_state_layer_ids": [1, 3, 9]})
    with pytest.raises(IncompatiblePairError, match=r"layers \(1, 3, 9\), of 6 there are"):
        load_head(folder, "eagle3", target(), "tiny")
    folder, _ = dflash(tmp_path / "d", num_target_layers=32)
    with pytest.raises(IncompatiblePairError, match="a target of 32 layers, not 6"):
        load_head(folder, "dflash", target(), "tiny")


def test_a_head_of_more_layers_than_are_known_is_refused(tmp_path: Path) -> None:
    folder, _ = eagle3(tmp_path, num_hidden_layers=2)
    with pytest.raises(UnsupportedModelError, match="it has 2 layers"):
        load_head(folder, "eagle3", target(), "tiny")


@pytest.mark.parametrize("kind", PUBLISHED)
def test_a_head_that_lost_a_matrix_is_damaged(tmp_path: Path, kind: Any) -> None:
    folder, weights = PUBLISHED[kind](tmp_path)
    lost = next(name for name in weights if name.endswith(("q_proj.weight", "0.0.linear.weight")))
    write(folder, json.loads((folder / "config.json").read_text()), {k: v for k, v in weights.items() if k != lost})
    with pytest.raises(CorruptModelError, match=r"is missing\. Fetch it again"):
        load_head(folder, kind, target(), "tiny")


def test_a_folder_without_weights_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"medusa_num_heads": 3}')
    with pytest.raises(CorruptModelError, match="has no weights"):
        load_head(tmp_path, "medusa", target(), "tiny")


def test_the_speculators_format_is_the_same_head_under_other_names(tmp_path: Path) -> None:
    folder, weights = eagle3(tmp_path / "a")
    layer = json.loads((folder / "config.json").read_text())
    config = {
        "speculators_model_type": "eagle3",
        "transformer_layer_config": layer,
        "draft_vocab_size": layer["draft_vocab_size"],
        "eagle_aux_hidden_state_layer_ids": [2, 3, 3],  # what goes into a layer, where SpecForge has what comes out
    }
    renamed = {name.replace("midlayer.", "layers.0."): value for name, value in weights.items()}
    other = load_head(write(tmp_path / "b", config, renamed), "eagle3", target(), "tiny")
    head = load_head(folder, "eagle3", target(), "tiny")
    assert other.taps == (1, 2, 2) == head.taps
    states, features = mx.ones((1, 32)), mx.ones((1, 96))
    assert mx.array_equal(other.fuse(features), head.fuse(features)).item()  # type: ignore[union-attr]
    assert mx.array_equal(other.logits(states), head.logits(states)).item()  # type: ignore[union-attr]


def test_a_quantised_head_is_loaded_as_its_configuration_says(tmp_path: Path) -> None:
    folder, weights = eagle3(tmp_path / "a")
    plain = load_head(folder, "eagle3", target(), "tiny")
    bits = {"group_size": 32, "bits": 8}
    nn.quantize(plain, 32, 8, class_predicate=lambda path, _: path in ("fc", "lm_head"))
    stored = {name: np.array(value) for name, value in tree_flatten(plain.parameters())} | {
        name: weights[name] for name in ("d2t", "t2d")
    }
    config = json.loads((folder / "config.json").read_text()) | {"quantization": bits}
    quantised = load_head(write(tmp_path / "b", config, stored), "eagle3", target(), "tiny")
    features = mx.random.normal((3, 96), key=mx.random.key(0))
    difference = mx.abs(quantised.fuse(features) - load_head(folder, "eagle3", target(), "tiny").fuse(features))  # type: ignore[union-attr]
    assert 0 < mx.max(difference).item() < 0.05


def test_weights_come_out_of_pytorchs_own_file() -> None:
    """`data/head.bin` was written by `torch.save` (2.13); see `record_torch_file.py` beside it."""
    weights = load_torch_file(TORCH_FILE)
    assert weights["0.0.linear.weight"].dtype == mx.float16
    assert np.array(weights["0.0.linear.weight"]).tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert weights["transposed"].tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    assert weights["bfloat16"].dtype == mx.bfloat16
    assert weights["bfloat16"].astype(mx.float32).tolist() == [1.5, -2.0]
    assert weights["d2t"].tolist() == [0, 5, 9]
    assert weights["t2d"].tolist() == [True, False, True]


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    with zipfile.ZipFile(tmp_path / "head.bin", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"weight": Trap()}))
    with pytest.raises(CorruptModelError, match="can be read safely"):
        load_torch_file(tmp_path / "head.bin")
    assert not (tmp_path / "sprung").exists()


def test_medusa_heads_are_read_from_pytorchs_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"medusa_num_heads": 1, "medusa_num_layers": 1}))
    (tmp_path / "medusa_lm_head.pt").write_bytes(TORCH_FILE.read_bytes())
    checkpoint = read_checkpoint(ModelFolder.at(tmp_path), "medusa")
    assert list(checkpoint.weights) == ["heads.0.0.linear.weight"]
