"""Loading pairs from folders, files and names: what is given back, and one sentence for what cannot be loaded."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model, quantize_model, save_model

from mlx_spec.errors import (
    CorruptModelError,
    IncompatiblePairError,
    ModelError,
    ModelNotFoundError,
    PromptError,
    UnsupportedModelError,
)
from mlx_spec.models import named, weights
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.gguf.importing import import_gguf
from mlx_spec.models.hub_names import short_name
from mlx_spec.models.loading import fit_of, load_pair
from mlx_spec.models.pairs import PAIRS, Pair
from tests.hub.contents import folder_model
from tests.hub.loopback import serving
from tests.models.gguf.tiny import tiny_gguf
from tests.models.text.sentences import one_sentence
from tests.two_tokenizers import words


def refused(kind: type[ModelError], target: str | Path, draft: str | Path | None = None) -> str:
    with pytest.raises(kind) as caught:
        load_pair(str(target), str(draft) if draft is not None else None)
    return one_sentence(caught.value)


def change_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def test_a_folder_with_a_draft(folder: Path, tmp_path: Path) -> None:
    draft = import_gguf(tiny_gguf(seed=1).write(tmp_path / "d.gguf"), tmp_path / "folders" / "small", source="test")
    told: list[tuple[str, float]] = []
    pair = load_pair(str(folder), str(draft), progress=lambda *args: told.append(args))
    assert (pair.name, pair.target_name, pair.draft_name) == ("tiny", "tiny", "small")
    assert isinstance(pair.draft, nn.Module)
    assert told[0] == ("loading", 0.0)
    assert told[-1] == ("loading", 1.0)
    fractions = [fraction for stage, fraction in told if stage == "loading"]
    assert fractions == sorted(fractions)
    assert len(fractions) > 10  # weight by weight
    ids = pair.encode("the <|im_end|> π")
    assert 2 in ids
    assert pair.decode(ids) == "the <|im_end|> π"
    assert pair.decode(ids, skip_special_tokens=True) == "the  π"


def test_a_target_alone_has_no_draft(folder: Path) -> None:
    pair = load_pair(str(folder))
    assert (pair.draft, pair.draft_name) == (None, None)


def test_a_gguf_file_is_imported_once(tiny: Path, lookahead_home: Path) -> None:
    load_pair(str(tiny))
    (folder,) = (lookahead_home / "models").iterdir()
    made = folder.stat().st_mtime_ns
    load_pair(str(tiny))
    assert folder.stat().st_mtime_ns == made


def test_a_quantised_draft_computes_in_float32_on_a_cpu(folder: Path, tmp_path: Path) -> None:
    if mx.default_device().type != mx.DeviceType.cpu:
        pytest.skip("quantised products are fast on a GPU")
    draft = tmp_path / "draft4"
    shutil.copytree(folder, draft)
    model, config = load_model(draft)
    model, config = quantize_model(model, config, group_size=32, bits=4)
    save_model(draft, model)
    (draft / "config.json").write_text(json.dumps(config))
    expected = model(mx.array([[1, 50, 60]]))
    pair = load_pair(str(folder), str(draft))
    assert pair.draft is not None
    assert {array.dtype for _, array in tree_flatten(pair.draft.parameters())} == {mx.float32}
    assert mx.allclose(pair.draft(mx.array([[1, 50, 60]])), expected, atol=1e-3)
    target = load_pair(str(draft)).target
    assert any(isinstance(module, nn.QuantizedLinear) for module in target.modules())


def test_conversations(folder: Path) -> None:
    pair = load_pair(str(folder))
    assert pair.decode(pair.encode_chat([{"role": "user", "content": "hi"}])) == "<|im_start|>hi<|im_end|>"
    with pytest.raises(PromptError):
        pair.encode_chat([])


def test_a_template_may_refuse(folder: Path) -> None:
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["chat_template"] = "{{ raise_exception('no system role') }}"
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(PromptError) as caught:
        load_pair(str(folder)).encode_chat([{"role": "system", "content": "x"}])
    assert "no system role" in one_sentence(caught.value)


def test_without_a_template_contents_are_plain_text(folder: Path) -> None:
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["chat_template"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    pair = load_pair(str(folder))
    messages = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    assert pair.decode(pair.encode_chat(messages)) == "a\n\nb"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    message = refused(ModelError, folder)
    assert name in message
    assert str(folder) in message


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "config.json").write_text("{"),
        lambda folder: (folder / "config.json").write_text("[]"),
        lambda folder: (folder / "generation_config.json").write_text("{"),
        lambda folder: (folder / "tokenizer.json").write_text("{}"),
        lambda folder: (folder / "model.safetensors").write_bytes(b""),
        lambda folder: (folder / "model.safetensors").write_bytes(b"not weights, but a long enough text"),
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-1]),
        lambda folder: change_config(folder, num_hidden_layers=3),
        lambda folder: change_config(folder, hidden_size="many"),
    ],
)
def test_damage_is_told(folder: Path, damage: Callable[[Path], object]) -> None:
    damage(folder)
    assert str(folder) in refused(CorruptModelError, folder)


def test_an_unknown_architecture(folder: Path) -> None:
    change_config(folder, model_type="llama17")
    assert "llama17" in refused(UnsupportedModelError, folder)


def test_a_models_own_code_is_never_run(folder: Path) -> None:
    (folder / "own.py").write_text("raise SystemExit('this code was run')")
    change_config(folder, model_file="own.py")
    assert "own.py" in refused(UnsupportedModelError, folder)


@pytest.fixture
def swapped(tmp_path: Path) -> Path:
    """The small model as a draft with another vocabulary: two of its tokens have changed places."""
    other = tiny_gguf()
    tokens = other.metadata["tokenizer.ggml.tokens"]
    other.metadata["tokenizer.ggml.tokens"] = [*tokens[:3], tokens[4], tokens[3], *tokens[5:]]
    return import_gguf(other.write(tmp_path / "d.gguf"), tmp_path / "folders" / "other", source="test")


def test_a_draft_with_another_vocabulary_is_bridged(folder: Path, swapped: Path) -> None:
    pair = load_pair(str(folder), str(swapped))
    assert pair.draft is not None
    assert pair.draft_tokenizer is not None
    assert pair.token_map is not None
    assert pair.token_map.shared == 1.0
    assert pair.token_map.draft_ids[:6].tolist() == [0, 1, 2, 4, 3, 5]
    found = fit_of(str(folder), str(swapped))
    assert found.kind == "no"
    assert "as big as its target" in found.reason
    change_config(swapped, vocab_size=3)
    assert "id 3 is " in refused(IncompatiblePairError, folder, swapped)


def test_a_draft_with_the_same_vocabulary_needs_no_bridge(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    with (tmp_path / "copy" / "tokenizer.json").open("a") as file:
        file.write("\n")  # another file, the same vocabulary
    pair = load_pair(str(folder), str(tmp_path / "copy"))
    assert (pair.draft_tokenizer, pair.token_map) == (None, None)
    assert load_pair(str(folder), str(folder)).draft_tokenizer is None


def test_a_draft_that_shares_hardly_a_token(folder: Path, tmp_path: Path) -> None:
    draft = tmp_path / "other"
    shutil.copytree(folder, draft)
    words(*(f"word{i}" for i in range(100)))._tokenizer.save_pretrained(draft)
    message = refused(IncompatiblePairError, folder, draft)
    assert "other cannot draft for tiny" in message
    assert "0 % of the target's tokens are shared" in message


def test_models_are_compared_without_their_weights(
    folder: Path, swapped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "load_model", lambda *args, **options: pytest.fail("weights were loaded"))
    shutil.copy(folder / "model.safetensors", folder / "model-2.safetensors")  # a larger target
    found = fit_of(str(folder), str(swapped))
    assert found.kind == "bridged"
    assert "other has another tokenizer than tiny: 100 % of tokens shared" in found.reason
    with pytest.raises(ModelNotFoundError):
        fit_of(str(folder), "none")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nobody", "known: starter"),
        ("./nobody", "no model folder ./nobody"),
        ("/nobody/here", "no model folder /nobody/here"),
        ("~/nobody", "no model folder ~/nobody"),
        ("nobody.gguf", "no file nobody.gguf"),
    ],
)
def test_names_nothing_has(name: str, said: str) -> None:
    assert said in refused(ModelNotFoundError, name)


def test_the_starter_without_its_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "resources_folder", lambda: tmp_path)
    assert "draft='none'" in refused(ModelNotFoundError, "starter")


def test_the_starter_with_its_draft(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(folder, tmp_path / "starter")
    monkeypatch.setattr(named, "resources_folder", lambda: tmp_path)
    monkeypatch.setattr(named, "ensure_starter_target", lambda progress: folder)
    pair = load_pair("starter")
    assert (pair.name, pair.target_name) == ("starter", "SmolLM2-135M-Instruct")
    assert pair.draft is not None
    assert load_pair("starter", "none").name == "SmolLM2-135M-Instruct"


def test_a_model_of_the_hub_is_fetched_once_and_then_found_without_a_network(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    told: list[str] = []
    with serving({"org/Model-4bit": folder_model(folder)}) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        assert load_pair("org/Model-4bit", progress=lambda stage, _: told.append(stage)).target_name == "Model-4bit"
        assert served.sent_bytes
    assert load_pair("org/Model-4bit").target_name == "Model-4bit"
    assert "loading" in told


@pytest.mark.parametrize(
    ("facts", "said"), [({"gated": True}, "accept its terms"), ({"private": True}, "The Hub has no model org/model")]
)
def test_what_the_hub_says(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: dict[str, bool], said: str
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with serving({"org/model": folder_model(folder, **facts)}) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        assert said in refused(ModelNotFoundError, "org/model")


def test_a_pair_of_the_hub_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PAIRS, "two", Pair(name="two", target="org/big", draft="org/small", note="Both."))
    monkeypatch.setattr(named, "hub_folder", lambda name, progress: ModelFolder(folder, short_name(name)))
    pair = load_pair("two")
    assert (pair.name, pair.target_name, pair.draft_name) == ("two", "big", "small")


def test_a_family_that_would_end_the_process_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """mlx-lm's olmo does, where its own package is not installed."""
    monkeypatch.setitem(sys.modules, "hf_olmo", None)
    monkeypatch.delitem(sys.modules, "mlx_lm.models.olmo", raising=False)
    change_config(folder, model_type="olmo")
    assert "olmo" in refused(UnsupportedModelError, folder)
