"""Entries of the cache with something wrong in them, as crashed tools, cleaned disks and half repositories leave them:
they are seen, told, mended by fetching again, and can be removed."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download
from typer.testing import CliRunner

from mlx_spec.cli.main import app
from mlx_spec.errors import DownloadError, ModelError, StorageError
from mlx_spec.models.files.shards import INDEX, missing_shards
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.library.access import HubAccess
from mlx_spec.models.library.cache import cached_folder, installed_models, remove, total_bytes, verify
from mlx_spec.models.library.hub import hub_folder
from mlx_spec.models.library.judge import judge
from mlx_spec.models.library.remote import list_remote
from tests.decoding.drafters import published
from tests.hub.contents import HubModel, folder_model, heavy_model, hub_file
from tests.hub.fetching import access_to, check_cache, fetch
from tests.hub.loopback import LoopbackHub, serving

REPO, SHARDED = "org/model", "org/sharded"
SHARDS = tuple(f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3))


def index_of(*names: str) -> str:
    """An index that has a tensor in each of these files."""
    return json.dumps({"metadata": {}, "weight_map": {f"tensor.{i}": name for i, name in enumerate(names)}})


@pytest.fixture
def hub(folder: Path) -> Iterator[LoopbackHub]:
    """A Hub with a model that loads, and one whose weights are three files."""
    index = hub_file(index_of(*SHARDS).encode())
    sharded = HubModel(heavy_model(900_000, files=3).files | {INDEX: index})
    with serving({REPO: folder_model(folder), SHARDED: sharded}) as served:
        yield served


@pytest.fixture
def access(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubAccess:
    """The Hub for the command line, too."""
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return access_to(hub, tmp_path / "cache")


def blob_of(hub: LoopbackHub, access: HubAccess, name: str) -> Path:
    return access.repo_folder(REPO) / "blobs" / hub.models[REPO].files[name].etag


def run(*arguments: str) -> tuple[int, str]:
    """What a command of the terminal ends with, and all it says."""
    result = CliRunner().invoke(app, ["models", *arguments])
    assert result.exception is None or isinstance(result.exception, (SystemExit, ModelError, StorageError)), result
    return result.exit_code, f"{result.output}{result.exception or ''}"


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("left", [0.0, 0.6])
def test_a_file_that_was_cut_short_is_completed(hub: LoopbackHub, access: HubAccess, name: str, left: float) -> None:
    fetch(REPO, access)
    blob = blob_of(hub, access, name)
    whole = blob.read_bytes()
    kept = int(left * len(whole))
    blob.write_bytes(whole[:kept])
    assert cached_folder(REPO, access) is None
    assert list_remote(REPO, access).bytes_to_fetch(access) == len(whole) - kept
    hub.sent_bytes = 0
    assert fetch(REPO, access).state == "done"
    assert hub.sent_bytes == len(whole) - kept, "what is here is not fetched again"
    check_cache(REPO, hub.models[REPO], access.cache_folder)
    assert cached_folder(REPO, access) is not None


def test_a_small_file_with_other_bytes_or_too_many_is_fetched_anew(hub: LoopbackHub, access: HubAccess) -> None:
    fetch(REPO, access)
    config, tokenizer = (blob_of(hub, access, name) for name in ("config.json", "tokenizer.json"))
    config.write_bytes(config.read_bytes()[:-1] + b" ")
    tokenizer.write_bytes(tokenizer.read_bytes() + b"\n")
    assert cached_folder(REPO, access) is None
    assert fetch(REPO, access).state == "done"
    check_cache(REPO, hub.models[REPO], access.cache_folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model-q4.gguf", "model.onnx", "onnx/config.json", "README.md"])
def test_what_is_never_fetched_is_not_read_to_find_the_model_whole(
    hub: LoopbackHub, access: HubAccess, name: str
) -> None:
    model = hub.models[REPO]
    hub.models[REPO] = replace(model, files=model.files | {name: hub_file(b"of another tool")})
    snapshot_download(REPO, cache_dir=access.cache_folder, endpoint=hub.endpoint)
    blob_of(hub, access, name).write_bytes(b"of another t00l")
    assert cached_folder(REPO, access) is not None
    assert verify(REPO, access).wrong == (name,), "who asks for every file gets every file"


def test_a_template_beside_the_first_is_compared_as_well(hub: LoopbackHub, access: HubAccess) -> None:
    name = "additional_chat_templates/tool_use.jinja"
    model = hub.models[REPO]
    hub.models[REPO] = replace(model, files=model.files | {name: hub_file(b"{{ messages }}")})
    assert fetch(REPO, access).state == "done"
    assert cached_folder(REPO, access) is not None
    blob_of(hub, access, name).write_bytes(b"{{ message0 }}")
    assert cached_folder(REPO, access) is None
    assert fetch(REPO, access).state == "done"
    check_cache(REPO, hub.models[REPO], access.cache_folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_link_to_a_file_that_is_gone_is_listed_told_mended_and_removed(
    hub: LoopbackHub, access: HubAccess, name: str
) -> None:
    fetch(REPO, access)
    blob_of(hub, access, name).unlink()
    [model] = installed_models(access)
    assert (model.name, model.usable) == (REPO, False)
    assert name in (model.problem or "")
    assert cached_folder(REPO, access) is None
    assert verify(REPO, access).wrong == (name,)
    code, said = run("list")
    assert (code, REPO in said) == (0, True)
    assert run("show", REPO)[0] == 0
    assert judge(REPO, access).fetch_bytes == hub.models[REPO].files[name].size
    planned = remove(REPO, access, dry_run=True)
    assert planned.freed_bytes == model.size_bytes == total_bytes(access) > 0
    assert run("pull", "--anyway", REPO)[0] == 0
    assert hub_folder(REPO) == cached_folder(REPO, access)
    check_cache(REPO, hub.models[REPO], access.cache_folder)
    blob_of(hub, access, name).unlink()
    assert run("rm", "--yes", REPO)[0] == 0
    assert not access.repo_folder(REPO).exists()
    assert installed_models(access) == []


def test_without_the_hub_a_damaged_model_says_what_is_wrong_with_it(hub: LoopbackHub, access: HubAccess) -> None:
    fetch(REPO, access)
    blob_of(hub, access, "model.safetensors").unlink()
    hub.models.clear()
    with pytest.raises(DownloadError, match=r"no model org/model.*What is here of it .*a file that is gone"):
        hub_folder(REPO)


def test_an_entry_without_main_is_listed_and_loaded(hub: LoopbackHub, access: HubAccess) -> None:
    commit = hub.models[REPO].commit
    snapshot_download(REPO, revision=commit, cache_dir=access.cache_folder, endpoint=hub.endpoint)
    assert not (access.repo_folder(REPO) / "refs" / "main").exists()
    [model] = installed_models(access)
    hub.models.clear()
    assert hub_folder(REPO).path == Path(model.folder) == access.repo_folder(REPO) / "snapshots" / commit


def test_a_head_needs_no_tokenizer_to_be_whole(hub: LoopbackHub, access: HubAccess, tmp_path: Path) -> None:
    for publish in (published.eagle1, published.eagle3):
        name = f"org/{publish.__name__}"
        hub.models[name] = folder_model(publish(tmp_path / publish.__name__)[0])
        assert fetch(name, access).state == "done"
        del hub.models[name]
        assert hub_folder(name) == cached_folder(name, access)
    assert all(model.usable for model in installed_models(access))


def test_a_main_that_names_what_never_came_leaves_what_is_here(hub: LoopbackHub, access: HubAccess) -> None:
    fetch(REPO, access)
    (access.repo_folder(REPO) / "refs" / "main").write_text("0" * 40)
    [model] = installed_models(access)
    assert model.usable
    assert cached_folder(REPO, access) == ModelFolder(Path(model.folder), "model")


def test_an_entry_that_is_a_link_to_a_disk_that_is_gone_can_be_removed(access: HubAccess, tmp_path: Path) -> None:
    fetch(REPO, access)
    shutil.move(access.repo_folder(REPO), tmp_path / "disk")
    access.repo_folder(REPO).symlink_to(tmp_path / "disk")
    assert [model.usable for model in installed_models(access)] == [True]
    (tmp_path / "disk").rename(tmp_path / "unplugged")
    [model] = installed_models(access)
    assert "gone" in (model.problem or "")
    assert remove(REPO, access).freed_bytes == 0
    assert installed_models(access) == []
    assert (tmp_path / "unplugged" / "snapshots").is_dir()


class TestShards:
    def test_an_index_that_names_what_the_hub_never_had_ends_before_the_weights(
        self, hub: LoopbackHub, access: HubAccess
    ) -> None:
        model = hub.models[SHARDED]
        more = index_of(*SHARDS, "model-00004-of-00003.safetensors")
        hub.models[SHARDED] = replace(model, files=model.files | {INDEX: hub_file(more.encode())})
        status = fetch(SHARDED, access)
        assert (status.state, status.kind) == ("failed", "unsupported")
        assert "lacks model-00004-of-00003.safetensors" in (status.message or "")
        assert not [asked for asked in hub.asked if asked.store], "no weights were asked for"
        code, said = run("pull", "--anyway", SHARDED)
        assert code != 0
        assert "is ready" not in said

    def test_one_file_lost_from_the_hub_is_told_by_its_number(self, hub: LoopbackHub, access: HubAccess) -> None:
        files = dict(hub.models[SHARDED].files)
        del files[INDEX], files[SHARDS[1]]
        hub.models[SHARDED] = HubModel(files)
        with pytest.raises(DownloadError, match=r"lacks model-00002-of-00003.safetensors"):
            list_remote(SHARDED, access)

    def test_an_index_that_is_none_is_refused(self, hub: LoopbackHub, access: HubAccess) -> None:
        for text in ("{", "[]", '{"weight_map": 3}', "[" * 100_000):
            files = hub.models[SHARDED].files | {INDEX: hub_file(text.encode(), lfs=False)}
            hub.models[SHARDED] = HubModel(files)
            status = fetch(SHARDED, access)
            assert (status.state, status.kind) == ("failed", "unsupported"), text[:20]
            assert "index" in (status.message or "")

    def test_a_whole_one_arrives(self, hub: LoopbackHub, access: HubAccess) -> None:
        assert fetch(SHARDED, access).state == "done"
        check_cache(SHARDED, hub.models[SHARDED], access.cache_folder)

    def test_a_folder_says_which_one_it_lacks(self, folder: Path, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        (copy / "model.safetensors").rename(copy / SHARDS[0])
        with pytest.raises(ModelError, match=f"lacks {SHARDS[1]} and 1 more of its weights"):
            ModelFolder.at(copy).check()
        (copy / INDEX).write_text(index_of(SHARDS[0], "model-b.safetensors"))
        with pytest.raises(ModelError, match=r"lacks model-b.safetensors of its weights"):
            ModelFolder.at(copy).check()
        (copy / INDEX).write_text(index_of(SHARDS[0]))
        ModelFolder.at(copy).check()
        (copy / "tokenizer_config.json").unlink(missing_ok=True)
        (copy / "tokenizer_config.json").symlink_to(tmp_path / "nothing")
        with pytest.raises(ModelError, match=r"tokenizer_config.json is a link to a file that is gone"):
            ModelFolder.at(copy).check()

    def test_an_index_left_over_beside_weights_in_one_file_is_passed_over(self, folder: Path, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        (copy / INDEX).write_text(index_of(*SHARDS))
        ModelFolder.at(copy).check()
        assert missing_shards(["model.safetensors"], index_of(*SHARDS)) == []


@pytest.mark.parametrize("name", ["a#b.json", "a?b.json", "50%25.json", "a b+c.json", "ü.json", "a&b=c;d.json"])
def test_a_name_with_what_means_something_in_addresses_is_fetched(
    hub: LoopbackHub, access: HubAccess, name: str
) -> None:
    model = hub.models[REPO]
    hub.models[REPO] = replace(model, files=model.files | {name: hub_file(f'"{name}"'.encode())})
    status = fetch(REPO, access)
    assert status.state == "done", status.message
    assert (Path(status.folder or "") / name).read_text() == f'"{name}"'
    check_cache(REPO, hub.models[REPO], access.cache_folder)


class TestDiskThatIsGone:
    @pytest.fixture
    def gone(self, access: HubAccess, tmp_path: Path) -> HubAccess:
        """A cache that was moved to a disk which is not connected."""
        (tmp_path / "unplugged").mkdir()
        access.cache_folder.symlink_to(tmp_path / "disk" / "hub")
        return access

    def test_every_use_of_it_says_so(self, gone: HubAccess) -> None:
        for use in (
            lambda: installed_models(gone),
            lambda: total_bytes(gone),
            lambda: cached_folder(REPO, gone),
            lambda: hub_folder(REPO),
            lambda: remove(REPO, gone),
            lambda: verify(REPO, gone),
            lambda: judge(REPO, gone),
        ):
            with pytest.raises(StorageError, match="connect that disk"):
                use()

    def test_a_download_says_so_and_makes_nothing_in_its_place(self, gone: HubAccess, tmp_path: Path) -> None:
        status = fetch(REPO, gone)
        assert status.state == "failed"
        assert "connect that disk" in (status.message or "")
        assert not (tmp_path / "disk").exists()
        (tmp_path / "disk" / "hub").mkdir(parents=True)
        assert fetch(REPO, gone).state == "done"

    def test_a_disk_above_the_cache_counts_too(self, hub: LoopbackHub, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "disk")
        with pytest.raises(StorageError, match="connect that disk"):
            installed_models(access_to(hub, tmp_path / "link" / "huggingface" / "hub"))
