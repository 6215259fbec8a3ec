"""`mlx-spec models`: what is known of pairs, and whether two models fit, as a person asks for it."""

import json
from dataclasses import replace

import mlx.core as mx
import pytest
from typer.testing import CliRunner

from mlx_spec.cli.commands.models.app import app
from mlx_spec.models.pairs import PAIRS
from tests.cli.calling import mlx_spec
from tests.cli.folders import save_folder
from tests.tiny import tiny_pair


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A tiny target and its smaller draft."""
    folder, pair = tmp_path_factory.mktemp("models"), tiny_pair(0)
    folders = save_folder(pair.target, folder / "target"), save_folder(pair.draft, folder / "draft")
    # Weights are weighed and never read: this makes the target the bigger one.
    mx.save_safetensors(str(folder / "target" / "model-more.safetensors"), {"more": mx.zeros(250_000)})
    return folders


def test_the_table_tells_of_every_pair_and_keeps_the_ids_whole() -> None:
    shown = CliRunner().invoke(app, ["pairs"])
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    words = shown.stdout.split()
    for pair in PAIRS.values():
        assert pair.name in words
        for model in (pair.target, pair.draft):
            assert any(model in line for line in lines)
        assert set(pair.note.split()) <= set(words)
    assert shown.stdout.count("\nbridged ") == sum(pair.kind == "bridged" for pair in PAIRS.values())
    assert shown.stdout.count("\nnot verified") == sum(not pair.verified for pair in PAIRS.values()) > 0


def test_json_has_all_that_the_table_has() -> None:
    found = json.loads(CliRunner().invoke(app, ["pairs", "--json"]).stdout)
    assert found.keys() == PAIRS.keys()
    for name, facts in found.items():
        assert facts.pop("measured") is None
        assert replace(PAIRS[name], **facts) == PAIRS[name]
        assert facts.keys() == {"target", "draft", "kind", "verified", "note", "published"}


def test_a_targets_drafts_are_recommended_the_best_first() -> None:
    target = "somebody/Qwen2.5-Coder-32B-Instruct-8bit"
    found = json.loads(CliRunner().invoke(app, ["pairs", target, "--json"]).stdout)
    assert list(found) == ["qwen2.5-coder-32b", "qwen2.5-coder-32b+1.5b"]


def test_a_target_without_a_known_draft_is_told_what_else_helps() -> None:
    done = mlx_spec("models", "pairs", "org/unheard-of-9b")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "--drafter ngram" in done.stderr


def test_what_fits_is_said_in_one_sentence(folders: tuple[str, str]) -> None:
    done = mlx_spec("models", "fit", *folders)
    assert (done.returncode, done.stdout) == (0, "draft and target have the same vocabulary.\n"), done.stderr


def test_what_does_not_fit_is_said_with_the_reason_and_exit_code_1(folders: tuple[str, str]) -> None:
    target, draft = folders
    done = mlx_spec("models", "fit", draft, target, "--json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert (found["fits"], found["kind"]) == (False, "no")
    assert "as big as its target" in found["reason"]


@pytest.mark.parametrize("pair", [("/nowhere", "{draft}"), ("{target}", "/nowhere"), ("{target}", "none")])
def test_a_missing_model_is_one_line_and_exit_code_2(folders: tuple[str, str], pair: tuple[str, str]) -> None:
    names = [name.format(target=folders[0], draft=folders[1]) for name in pair]
    done = mlx_spec("models", "fit", *names)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.strip().splitlines()) == 1


def test_pairs_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlx_spec.models.room.available_bytes", lambda: 11 * 10**9)
    monkeypatch.setattr("mlx_spec.decoding.measuring.ceiling.known_bandwidth", lambda: 100e9)
    found = json.loads(CliRunner().invoke(app, ["pairs", "--suggest", "--json"]).stdout)
    assert [one["role"] for one in found.values()] == ["largest", "code", "quick"]
    told = CliRunner().invoke(app, ["pairs", "--suggest"]).stdout.splitlines()
    for line, (name, one) in zip(told, found.items(), strict=True):
        assert line.startswith(f"{name} ({one['role']}): needs about ")
        assert f"at most {one['plain_rate']:.3g} tokens/s" in line
    monkeypatch.setattr("mlx_spec.models.room.available_bytes", lambda: 10**8)
    assert "the starter does" in CliRunner().invoke(app, ["pairs", "--suggest"]).stdout
