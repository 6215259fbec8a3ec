"""Narrowing: the list is the frequent tokens, the folder loads, and what it costs in agreement is measured."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mlx_spec.cli.commands.train.app import app
from mlx_spec.models.narrow_head import FILE, NarrowHead, narrowed
from mlx_spec.training.export import build_draft, export_draft
from mlx_spec.training.initial import draft_config, initial_weights
from mlx_spec.training.narrow import narrow
from mlx_spec.training.recipe import Recipe
from mlx_spec.training.target import Target


@pytest.fixture
def draft_folder(target: Target, recipe: Recipe, tmp_path: Path) -> Path:
    """An untrained draft."""
    config = draft_config(target.config, recipe.shape)
    model = build_draft(config, initial_weights(target.weights, recipe.shape))
    export_draft(model, config, target.folder.path, tmp_path / "draft")
    return tmp_path / "draft"


def test_agreement_falls_with_what_is_left_out(
    target: Target, draft_folder: Path, sampled_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, many = (narrow(target.folder, draft_folder, sampled_folder, count) for count in (3, 250))
    assert few.coverage < many.coverage <= 1.0
    assert few.before == many.before
    assert few.after.overlap[1.0].mean < many.after.overlap[1.0].mean
    assert few.after.divergence.mean == np.inf
    ids = json.loads((draft_folder / FILE).read_text())["token_ids"]
    assert len(ids) == many.tokens
    from mlx_lm.utils import load_model

    assert isinstance(narrowed(load_model(draft_folder)[0], draft_folder), NarrowHead)


def test_the_command_narrows_and_says_what_it_cost(target: Target, draft_folder: Path, sampled_folder: Path) -> None:
    options = ["--target", str(target.folder.path), "--draft", str(draft_folder), "--corpus", str(sampled_folder)]
    run = CliRunner().invoke(app, ["narrow", *options, "--tokens", "20", "--json"])
    assert run.exit_code == 0, run.output
    report = json.loads(run.stdout)
    assert report["tokens"] == 20
    assert report["after"]["kl"] == [None, None]
    spoken = CliRunner().invoke(app, ["narrow", *options, "--tokens", "20"])
    assert "20 tokens, " in spoken.stdout
