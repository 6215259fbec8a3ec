"""The recipe for Medusa heads on a tiny target."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mlx_spec.cli.commands.train.app import app
from mlx_spec.errors import ConfigError
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.heads.loading import load_head
from mlx_spec.training.answers.corpus import Sample
from mlx_spec.training.distill import Watcher
from mlx_spec.training.medusa import MedusaRecipe, to_medusa_batch, train_medusa
from mlx_spec.training.target import Target
from tests.training.test_distill import clock_of

RECIPE = MedusaRecipe(
    answer_tokens=1800, minutes=1.0, heads=2, batch_tokens=200, rate=1e-2, held_out_tokens=200, seed=0
)


def test_the_recipe_makes_heads_that_agree_more_and_are_loaded_as_published(
    target_folder: ModelFolder, target: Target, sampled_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "heads"
    result = train_medusa(RECIPE, target_folder, out, sampled_folder, "mlx", Watcher(), clock_of(30))
    assert len(result.after.top1) == 2
    for before, after in zip(result.before.divergence, result.after.divergence, strict=True):
        assert after < 0.7 * before
    assert ModelFolder.at(out).head_kind == "medusa"
    heads = load_head(out, "medusa", target.model, "tiny")
    assert heads.count == 2  # type: ignore[union-attr]


def test_a_head_learns_what_comes_later_in_the_same_answer() -> None:
    answer = np.array([0, 1, 1, 1, 0, 1, 1], np.bool_)
    hidden = np.arange(10, dtype=np.uint16).reshape(5, 2)
    seen = to_medusa_batch(Sample(np.zeros(7, np.int32), answer, hidden, 0.0, False), 2)
    assert seen.states.tolist() == hidden.tolist()
    # The states of tokens 1, 2, 3 and of 5, 6: head 0 looks one further, head 1 two.
    assert seen.there.tolist() == [[1, 1, 0, 1, 0], [1, 0, 0, 0, 0]]
    assert seen.ahead[0, 0].tolist() == hidden[1].tolist()
    assert seen.ahead[1, 0].tolist() == hidden[2].tolist()


def test_the_command_trains_heads(target_folder: ModelFolder, sampled_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "heads"
    arguments = ["medusa", "--target", str(target_folder.path), "--out", str(out), "--corpus", str(sampled_folder)]
    done = CliRunner().invoke(app, [*arguments, "--minutes", "0.01", "--answers", "1800", "--heads", "1", "--json"])
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout.splitlines()[-1])["after"]["top1"]) == 1


@pytest.mark.parametrize("field", ["heads", "minutes", "decay"])
def test_a_recipe_out_of_its_ranges_is_refused_by_name(field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        MedusaRecipe(**{field: 0})  # type: ignore[arg-type]
