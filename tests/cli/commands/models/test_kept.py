"""`mlx-spec models` with a loopback Hub: what a new user types, and what comes of it."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlx_spec.cli.commands.models.app import app
from mlx_spec.errors import DownloadError, LookaheadError
from tests.cli.calling import mlx_spec
from tests.cli.folders import save_folder
from tests.hub.contents import HubFile, HubModel, folder_model, hub_file
from tests.hub.loopback import LoopbackHub, serving
from tests.tiny import tiny_pair

TARGET, DRAFT = "mlx-community/Tiny-Chat-4bit", "mlx-community/Tiny-Draft-4bit"
HUGE = "mlx-community/Huge-405B-Instruct-4bit"


def huge_model() -> HubModel:
    """400 GB of a model that mlx-lm knows."""
    config = {"model_type": "llama", "hidden_size": 16384, "num_hidden_layers": 126, "intermediate_size": 53248}
    config |= {"num_attention_heads": 128, "num_key_value_heads": 8, "rms_norm_eps": 1e-5, "vocab_size": 128256}
    weights = HubFile(b"", 400 * 10**9, True, "a" * 64, "b" * 40)
    return HubModel({"config.json": hub_file(json.dumps(config).encode()), "model.safetensors": weights})


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, HubModel]:
    """A tiny pair that really loads, and a model that never could."""
    folder, pair = tmp_path_factory.mktemp("hub"), tiny_pair(0)
    target = folder_model(Path(save_folder(pair.target, folder / "target")), facts={"tags": ["license:mit"]})
    draft = folder_model(Path(save_folder(pair.draft, folder / "draft")))
    return {TARGET: target, DRAFT: draft, HUGE: huge_model()}


@pytest.fixture
def hub(models: dict[str, HubModel], monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """A Hub with these models, which `$HF_ENDPOINT` names."""
    with serving({name: replace(model) for name, model in models.items()}) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        yield served


def say(*words: str, fails: bool = False) -> Any:
    """What a command prints as JSON."""
    done = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=True)
    assert (done.exit_code != 0) == fails, (done.stderr, done.exception)
    return json.loads(done.stdout) if done.stdout else done.exception


def test_a_pair_is_pulled_listed_verified_loaded_and_removed(hub: LoopbackHub) -> None:
    [target, draft] = say("pull", TARGET, f"https://huggingface.co/{DRAFT}/tree/main")
    assert (target["state"], draft["state"]) == ("done", "done")
    assert [model["name"] for model in say("list")] == [TARGET, DRAFT]
    assert say("verify", TARGET)["wrong"] == []
    hub.models.clear()  # from here on, the Hub has nothing

    words = ["generate", "Hello", "--target", TARGET, "--draft", DRAFT, "--max-tokens", "6", "--json"]
    answer = mlx_spec(*words)
    assert answer.returncode == 0, answer.stderr
    assert len(json.loads(answer.stdout)["token_ids"]) == 6

    freed = say("rm", TARGET, "--yes")["freed_bytes"]
    assert freed == target["total_bytes"]
    assert [model["name"] for model in say("list")] == [DRAFT]


def test_a_damaged_file_is_found_and_named(hub: LoopbackHub) -> None:
    [status] = say("pull", TARGET)
    weights = Path(status["folder"]) / "model.safetensors"
    blob = weights.resolve()
    spoilt = bytearray(blob.read_bytes())
    spoilt[-1] ^= 1
    blob.write_bytes(spoilt)
    assert say("verify", TARGET, fails=True)["wrong"] == ["model.safetensors"]


def test_a_typo_names_what_was_meant(hub: LoopbackHub) -> None:
    for wrong in ("mlx-community/Tiny-Chta-4bit", "mlx-comunity/Tiny-Chat-4bit", "mlx-community/tiny-chat-4-bit"):
        error = say("pull", wrong, fails=True)
        assert isinstance(error, DownloadError)
        assert error.kind == "not_found"
        assert f"is it {TARGET}" in str(error), str(error)


def test_a_name_that_is_like_nothing_is_one_line_and_exit_code_2(hub: LoopbackHub) -> None:
    done = mlx_spec("models", "pull", "nobody/zzzzqqqq")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"mlx-spec: The Hub has no model nobody/zzzzqqqq.*\.\n", done.stderr)


def test_four_hundred_gigabytes_are_refused_with_the_numbers(hub: LoopbackHub) -> None:
    error = say("pull", HUGE, fails=True)
    assert isinstance(error, LookaheadError)
    assert re.search(r"does not fit .* needs 40\d\.\d GB of memory, and [\d.]+ GB are there", str(error))
    assert not [asked for asked in hub.asked if asked.store]
    shown = say("show", HUGE)
    assert (shown["room"], shown["fetch_bytes"] > 400 * 10**9) == ("no", True)


def test_what_a_model_would_take_is_shown(hub: LoopbackHub) -> None:
    shown = say("show", TARGET)
    assert (shown["licence"], shown["supported"], shown["room"]) == ("mit", True, "fits")
    assert shown["longest_context_tokens"] == 300
    assert shown["fetch_bytes"] == shown["total_bytes"] > shown["memory"]["weights_bytes"]
    words = CliRunner().invoke(app, ["show", TARGET])
    assert "fits" in words.stdout


def test_search_groups_quantisations_and_tells_installed_from_available(hub: LoopbackHub) -> None:
    hub.models["mlx-community/Tiny-Chat-8bit"] = hub.models[TARGET]
    say("pull", TARGET)
    found = say("search", "tiny", "chat")
    [group] = found["available"]
    assert group["base"] == "Tiny-Chat"
    assert {model["variant"]: model["installed"] for model in group["models"]} == {"4bit": True, "8bit": False}
    assert [model["name"] for model in found["installed"]] == [TARGET]


def test_search_puts_known_pairs_first_and_works_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    found = say("search", "qwen3", "32b")
    assert found["pairs"][0]["name"] == "qwen3-32b"
    assert found["available"] == []
    assert "cannot be reached" in found["offline"]
    shown = CliRunner().invoke(app, ["search", "qwen3"])
    assert shown.exit_code == 0
    assert "Known pairs" in shown.stdout


def test_a_gated_model_names_the_page(hub: LoopbackHub) -> None:
    hub.models[TARGET].gated = True
    [status] = say("pull", TARGET, fails=True)
    assert (status["kind"], status["page"]) == ("gated", f"{hub.endpoint}/{TARGET}")


def test_an_empty_machine_lists_nothing_and_says_what_would_help() -> None:
    listed = CliRunner().invoke(app, ["list"])
    assert listed.stdout == ""
    assert "mlx-spec models pull" in listed.stderr


def test_rm_asks_first(hub: LoopbackHub) -> None:
    say("pull", TARGET)
    refused = CliRunner().invoke(app, ["rm", TARGET], input="n\n")
    assert refused.exit_code == 1
    assert len(say("list")) == 1


def test_the_cache_moves_and_a_link_stays(hub: LoopbackHub, tmp_path: Path, lookahead_home: Path) -> None:
    say("pull", TARGET)
    moved = CliRunner().invoke(app, ["move", str(tmp_path / "disk")])
    assert moved.exit_code == 0, moved.exception
    assert (lookahead_home / "hub").is_symlink()
    assert [model["name"] for model in say("list")] == [TARGET]
    assert say("verify", TARGET)["wrong"] == []
    again = CliRunner().invoke(app, ["move", str(tmp_path / "other")])
    assert isinstance(again.exception, LookaheadError)


@pytest.mark.parametrize("address", ["ftp://x", "nonsense", "http://"])
def test_a_mirror_that_is_no_address_is_refused(address: str) -> None:
    done = CliRunner().invoke(app, ["mirror", address])
    assert isinstance(done.exception, LookaheadError)


def test_a_mirror_that_was_set_is_asked(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_ENDPOINT")
    assert CliRunner().invoke(app, ["mirror", hub.endpoint + "/"]).exit_code == 0
    assert say("show", TARGET)["page"] == f"{hub.endpoint}/{TARGET}"
    assert CliRunner().invoke(app, ["mirror", "none"]).exit_code == 0
