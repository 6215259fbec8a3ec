"""The draft's starting weights: the best basis, and a faithful copy where nothing is cut."""

from dataclasses import replace

import numpy as np
import pytest

from mlx_spec.errors import TrainingError
from mlx_spec.models.folder import ModelFolder
from mlx_spec.training.export import build_draft, mlx_hidden
from mlx_spec.training.initial import START_GAIN, best_basis, draft_config, initial_weights
from mlx_spec.training.recipe import DraftShape
from mlx_spec.training.target import load_target


@pytest.mark.parametrize("rank", [1, 4, 9])
def test_the_basis_gives_the_best_approximation_of_its_rank(rank: int) -> None:
    matrix = np.random.default_rng(0).normal(size=(50, 12)).astype(np.float32)
    basis = best_basis(matrix, rank)
    left, sizes, right = np.linalg.svd(matrix, full_matrices=False)
    best = (left[:, :rank] * sizes[:rank]) @ right[:rank]
    assert np.allclose(basis.T @ basis, np.eye(rank), atol=1e-5)
    assert np.allclose(matrix @ basis @ basis.T, best, atol=1e-4)
    assert np.isclose(np.linalg.norm(matrix - best), np.linalg.norm(sizes[rank:]), rtol=1e-4)


def test_nothing_is_lost_where_nothing_is_cut(target_folder: ModelFolder) -> None:
    """With full width and all layers, the draft is the target in another basis: the same states, turned."""
    target = load_target(target_folder)
    shape = DraftShape(hidden=32, inner=64, source_layers=(0, 1))
    weights = initial_weights(target.weights, shape)
    ids = np.arange(3, 23, dtype=np.int32).reshape(2, 10)
    draft = mlx_hidden(build_draft(draft_config(target.config, shape), weights), ids)
    ours = draft @ weights["model.embed_tokens.weight"].T / START_GAIN
    theirs = mlx_hidden(target.model, ids) @ target.weights["model.embed_tokens.weight"].T
    assert np.allclose(ours, theirs, atol=2e-2)


@pytest.mark.parametrize("change", [{"hidden": 64}, {"inner": 65}, {"source_layers": ()}, {"source_layers": (0, 2)}])
def test_a_shape_that_the_target_cannot_give_is_refused(target_folder: ModelFolder, change: dict[str, object]) -> None:
    shape = replace(DraftShape(hidden=16, inner=32, source_layers=(0,)), **change)  # type: ignore[arg-type]
    with pytest.raises(TrainingError):
        draft_config(load_target(target_folder).config, shape)


def test_other_kinds_of_target_are_refused() -> None:
    with pytest.raises(TrainingError, match="gpt2"):
        draft_config({"model_type": "gpt2"}, DraftShape())
