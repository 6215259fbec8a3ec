"""A model's folder is read once, and what was read travels from what was typed to the pair that answers."""

import json
import math
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlx_spec.cli.terminal.consent import load_with_consent
from mlx_spec.errors import CorruptModelError, ModelError
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.loading import ModelPair
from mlx_spec.models.named import find_folders
from mlx_spec.models.room import room_of
from mlx_spec.models.weights import load_weights
from tests.cli.folders import save_folder
from tests.decoding.drafters import published
from tests.hub.contents import folder_model
from tests.hub.loopback import serving
from tests.models.test_loading import change_config

HEADS = {"eagle3": published.eagle3, "eagle": published.eagle1, "medusa": published.medusa, "dflash": published.dflash}


class Opened:
    """How often each file was opened for reading by a module of ours. mlx-lm and transformers read for themselves."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.counting = True

    def heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.counting or event != "open" or "r" not in str(arguments[1] or "r"):
            return
        path = Path(str(arguments[0]))
        if path.suffix in (".json", ".safetensors") and _reader() == "mlx_spec":
            self.counts[f"{path.parent.name}/{path.name}"] += 1


def _reader() -> str:
    """The package that opens a file: the innermost one that is not of the standard library."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if package in ("mlx_spec", "mlx_lm", "transformers", "huggingface_hub", "tokenizers"):
            return package
        frame = frame.f_back
    return ""


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Everything that is opened from here on; a hook cannot be taken away again, so it falls silent."""
    found = Opened()
    sys.addaudithook(found.heard)
    yield found
    found.counting = False


class Silent:
    """Progress that nobody sees."""

    def tell(self, stage: str, fraction: float) -> None: ...

    def pause(self) -> None: ...


def loaded(target: Path | str, draft: Path | str | None = None) -> ModelPair:
    return load_with_consent(str(target), str(draft) if draft else None, Silent(), anyway=False)  # type: ignore[arg-type]


def read_once(*folders: str) -> dict[str, int]:
    """Each configuration and each head of weights once."""
    names = ("config.json", "model.safetensors")
    return {f"{folder}/{name}": 1 for folder in folders for name in names}


def of_models(opened: Opened) -> dict[str, int]:
    """What was read of the files that say which model it is."""
    return {file: count for file, count in opened.counts.items() if file.endswith(("/config.json", ".safetensors"))}


def test_a_pair_of_folders_is_read_once(folder: Path, tmp_path: Path, opened: Opened) -> None:
    draft = shutil.copytree(folder, tmp_path / "draft")
    with (draft / "tokenizer.json").open("a") as file:
        file.write("\n")  # so that the vocabularies are compared
    opened.counts.clear()
    pair = loaded(folder, draft)
    assert pair.draft is not None
    assert pair.room is not None
    assert of_models(opened) == read_once("tiny", "draft")
    assert opened.counts["tiny/generation_config.json"] == 1


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_beside_a_draft_is_read_once(kind: str, tmp_path: Path, opened: Opened) -> None:
    target = saved(tmp_path / "target")
    draft = saved(tmp_path / "draft")
    HEADS[kind](draft / "head")
    opened.counts.clear()
    pair = loaded(target, draft)
    assert len(pair.heads) == 1
    assert pair.draft is not None
    assert of_models(opened) == read_once("target", "draft", "head")


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_alone_is_read_once(kind: str, tmp_path: Path, opened: Opened) -> None:
    """On a CPU its tensors are counted, too, as they are unpacked; a Medusa head names no model_type."""
    target = saved(tmp_path / "target")
    HEADS[kind](tmp_path / "head")
    opened.counts.clear()
    pair = loaded(target, tmp_path / "head")
    assert (pair.draft, pair.draft_name, len(pair.heads)) == (None, "head", 1)
    assert of_models(opened) == read_once("target", "head")


def test_a_gguf_file_is_imported_and_its_folder_read_once(tiny: Path, folder: Path, opened: Opened) -> None:
    for _ in ("imported", "found imported"):
        opened.counts.clear()
        pair = loaded(tiny, folder)
        assert (pair.target_name, pair.draft_name) == ("tiny", "tiny")
        [imported] = {name.partition("/")[0] for name in of_models(opened)} - {"tiny"}
        assert of_models(opened) == read_once(imported, "tiny")


def test_a_model_of_the_hub_is_read_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Opened
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with serving({"org/model": folder_model(folder)}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        loaded("org/model")
    opened.counts.clear()
    pair = loaded("org/model")  # the cache has it, and checks what it has
    assert pair.target_name == "model"
    assert sorted(of_models(opened).values()) == [1, 1]


def test_what_was_read_is_what_all_go_by(folder: Path) -> None:
    found = find_folders(str(folder), None)
    before = found.target.config
    change_config(folder, vocab_size=3)
    assert found.target.config is before
    assert find_folders(str(folder), None).target.config["vocab_size"] == 3


def test_loading_leaves_what_was_read_as_it_was(folder: Path) -> None:
    found = ModelFolder.at(folder)
    before = json.dumps(found.config, sort_keys=True)
    room_of(found)
    load_weights(found)
    assert json.dumps(found.config, sort_keys=True) == before


def test_numbers_that_json_does_not_have_are_numbers(folder: Path) -> None:
    """transformers 5 writes them so; mlx-lm would be handed a table in the place of a limit."""
    change_config(folder, time_step_limit=[0.0, {"__float__": "Infinity"}], other={"__float__": "no number"})
    config = ModelFolder.at(folder).config
    assert config["time_step_limit"] == [0.0, math.inf]
    assert config["other"] == {"__float__": "no number"}


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_json_that_is_nested_without_end_is_damage(folder: Path, name: str) -> None:
    (folder / name).write_text("[" * 100_000)
    with pytest.raises(CorruptModelError, match=name):
        ModelFolder.at(folder).check()


def test_a_folder_without_a_configuration_is_no_head_and_no_model(tmp_path: Path) -> None:
    empty = ModelFolder.at(tmp_path)
    assert (empty.head_kind, empty.heads, empty.weights, empty.weights_bytes) == (None, (), (), 0)
    with pytest.raises(ModelError, match=r"config.json is missing"):
        empty.check()


def test_it_is_named_as_its_folder_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert ModelFolder.at(Path(".")).name == "tiny"
    assert ModelFolder.at(folder) == ModelFolder(folder, "tiny")


def saved(folder: Path) -> Path:
    """The tiny llama that the published heads are for, as a folder."""
    return Path(save_folder(published.target(), folder))


@pytest.mark.parametrize("module", ["folder", "library.cache", "hub_names", "progress"])
def test_a_folder_is_looked_at_without_mlx(module: str) -> None:
    """`models list` looks at every folder there is, and loads none."""
    code = (
        f"import sys, mlx_spec.models.{module}; print(sorted({{'mlx', 'mlx_lm', 'transformers'}} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
