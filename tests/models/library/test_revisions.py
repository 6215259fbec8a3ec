"""A branch, a tag or a commit of a model is a model of its own: fetched, listed, loaded and deleted by its name."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download
from typer.testing import CliRunner

from mlx_spec.cli.main import app
from mlx_spec.errors import DownloadError, ModelNotFoundError
from mlx_spec.models import named
from mlx_spec.models.hub_names import looks_like_hub_id, repo_id_of
from mlx_spec.models.library.access import HubAccess
from mlx_spec.models.library.cache import cached_folder, installed_models, remove, total_bytes, verify
from mlx_spec.models.library.fetching.downloads import Downloads
from mlx_spec.models.library.hub import hub_folder
from mlx_spec.models.library.judge import judge
from mlx_spec.models.library.search import not_found_with_hint, search, split_name
from mlx_spec.models.pairs import recommend
from tests.hub.contents import HubModel, folder_model, hub_file
from tests.hub.fetching import HASTY, access_to, fetch
from tests.hub.loopback import LoopbackHub, serving

REPO, DEV, PULL = "org/model", "org/model@dev", "org/model@refs/pr/1"
ONLY_DEV = b'{"only": "dev"}'


@pytest.fixture
def hub(folder: Path) -> Iterator[LoopbackHub]:
    """A Hub with a model that loads, and two branches of it with a file more."""
    model = folder_model(folder)
    dev = HubModel(model.files | {"dev.json": hub_file(ONLY_DEV)})
    pull = HubModel(model.files | {"pull.json": hub_file(b"[1]")})
    with serving({REPO: replace(model, branches={"dev": dev, "refs/pr/1": pull})}) as served:
        yield served


@pytest.fixture
def access(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubAccess:
    """The Hub for the command line, too."""
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return access_to(hub, tmp_path / "cache")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (DEV, DEV),
        ("org/model@main", REPO),
        (f"https://huggingface.co/{REPO}/tree/dev", DEV),
        (f"https://huggingface.co/{REPO}/tree/main/onnx", REPO),
        (f"https://huggingface.co/{REPO}/blob/v1.0/config.json?download=true", f"{REPO}@v1.0"),
        (f"huggingface.co/{REPO}/resolve/dev/a/b.json", DEV),
        (f"hf.co/{REPO}/tree/refs%2Fpr%2F1/folder", PULL),
        (f"https://huggingface.co/{REPO}/commit/{'a1' * 20}", f"{REPO}@{'a1' * 20}"),
        (f"https://huggingface.co/{REPO}/discussions/7", REPO),
    ],
)
def test_a_revision_is_part_of_the_name(text: str, name: str) -> None:
    assert repo_id_of(text) == name
    assert looks_like_hub_id(name)


@pytest.mark.parametrize(
    "text", ["org/model@", "org/model../x", "org/model@/x", "org/model@a//b", "org/model@a b", "org/model@a@b", "a@b"]
)
def test_what_is_no_revision_is_refused(text: str) -> None:
    with pytest.raises(ModelNotFoundError, match="owner/name@revision"):
        repo_id_of(text)
    assert not looks_like_hub_id(text)


@pytest.mark.parametrize(("name", "own"), [(DEV, "dev.json"), (PULL, "pull.json")])
def test_it_is_fetched_listed_loaded_and_deleted_beside_the_main_one(
    hub: LoopbackHub, access: HubAccess, name: str, own: str
) -> None:
    assert fetch(REPO, access).state == "done"
    before, hub.sent_bytes = total_bytes(access), 0
    extra = hub.models[REPO].branches[name.partition("@")[2]].files[own].size
    assert judge(name, access).fetch_bytes == extra
    assert fetch(name, access).state == "done"
    assert hub.sent_bytes < extra + 5_000, "what both share is fetched once; the other is config.json, to judge by"
    assert total_bytes(access) == before + extra
    assert {model.name: model.usable for model in installed_models(access)} == {REPO: True, name: True}
    assert (hub_folder(name).path / own).is_file()
    assert not (hub_folder(REPO).path / own).exists()
    assert verify(name, access).wrong == ()
    assert remove(name, access, dry_run=True) == remove(name, access)
    assert total_bytes(access) == before
    assert [model.name for model in installed_models(access)] == [REPO]
    assert cached_folder(name, access) is None
    assert verify(REPO, access).wrong == ()


def test_deleting_the_main_one_leaves_the_branch(hub: LoopbackHub, access: HubAccess) -> None:
    files = hub.models[REPO].files
    hub.models[REPO] = replace(hub.models[REPO], files=files | {"main.json": hub_file(b"12345")})
    fetch(REPO, access)
    fetch(DEV, access)
    assert remove(REPO, access).freed_bytes == 5
    assert [model.name for model in installed_models(access)] == [DEV]
    assert cached_folder(REPO, access) is None
    assert verify(DEV, access).wrong == ()
    assert remove(DEV, access).freed_bytes > 1_000
    assert not access.repo_folder(DEV).exists()


def test_a_branch_of_another_tool_goes_by_its_name_and_not_by_the_models(hub: LoopbackHub, access: HubAccess) -> None:
    snapshot_download(REPO, revision="dev", cache_dir=access.cache_folder, endpoint=hub.endpoint)
    assert [model.name for model in installed_models(access)] == [DEV]
    assert cached_folder(REPO, access) is None
    assert cached_folder(DEV, access) is not None


def test_a_commit_is_a_name_too(hub: LoopbackHub, access: HubAccess) -> None:
    commit = hub.models[REPO].branches["dev"].commit
    name = repo_id_of(f"{hub.endpoint}/{REPO}/tree/{commit}")
    assert fetch(name, access).commit == commit
    assert hub_folder(name).path.name == commit


def test_a_name_at_any_place_may_say_it(hub: LoopbackHub, access: HubAccess, tmp_path: Path) -> None:
    folder = named.folder_of(f"{hub.endpoint}/{REPO}/tree/dev")
    assert (folder, folder.name) == (cached_folder(DEV, access), "model@dev")
    assert named.draft_folder_of(str(tmp_path), DEV) == folder
    downloads = Downloads(tmp_path / "records", access=lambda: access, limits=HASTY)
    assert downloads.add(f"{hub.endpoint}/{REPO}/tree/refs%2Fpr%2F1").repo_id == PULL
    assert downloads.wait(PULL, 20).state == "done"
    result = CliRunner().invoke(app, ["models", "pull", "--anyway", f"{hub.endpoint}/{REPO}/tree/dev"])
    assert f"{DEV} is ready in" in result.output
    assert recommend("mlx-community/Qwen3-8B-4bit@dev") == recommend("mlx-community/Qwen3-8B-4bit")


def test_a_search_for_its_page_finds_it_and_not_another(hub: LoopbackHub, access: HubAccess) -> None:
    [group] = search(f"{hub.endpoint}/{REPO}/tree/dev", access).available
    assert [(model.repo_id, model.installed) for model in group.models] == [(DEV, False)]
    assert group.base == "model@dev"
    assert split_name("org/Tiny-4bit@dev") == ("Tiny@dev", "4bit")
    fetch(DEV, access)
    found = search(DEV, access)
    assert found.available[0].models[0].installed
    assert [model.name for model in found.installed] == [DEV]


def test_a_revision_that_is_not_there_is_named(hub: LoopbackHub, access: HubAccess) -> None:
    with pytest.raises(
        DownloadError, match=r"The Hub has no revision nope of org/model: http.*/org/model shows"
    ) as said:
        judge(f"{REPO}@nope", access)
    assert str(not_found_with_hint(said.value, f"{REPO}@nope", access)) == str(said.value), "the model itself is there"
    assert fetch(f"{REPO}@nope", access).kind == "not_found"
