"""The whole recipe on a tiny target, and its parts against naive formulas."""

import importlib.util
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm import load
from typer.testing import CliRunner

from mlx_spec.errors import ConfigError, ModelNotFoundError, TrainingError
from mlx_spec.training.command import app
from mlx_spec.training.distill import Trainer, Watcher, distil, require_torch
from mlx_spec.training.evaluate import compare, estimate, evaluate
from mlx_spec.training.mlx_trainer import distillation_loss
from mlx_spec.training.progress import Progress
from mlx_spec.training.recipe import Recipe

HAS_TORCH = importlib.util.find_spec("torch") is not None
BACKENDS = ["mlx", pytest.param("torch", marks=pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed"))]


def clock_of(steps: int) -> Callable[[], float]:
    """A clock by which one minute is over after so many steps."""
    ticks = itertools.count()
    return lambda: 60.0 * next(ticks) / steps


class Steps(Watcher):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.steps: list[Progress] = []

    def stage(self, name: str) -> None:
        self.stages.append(name)

    def stepped(self, progress: Progress) -> None:
        self.steps.append(progress)


@pytest.mark.parametrize("trainer", BACKENDS)
def test_the_recipe_makes_a_draft_that_agrees_more(
    trainer: Trainer, target_folder: Path, sampled_folder: Path, recipe: Recipe, tmp_path: Path
) -> None:
    watcher = Steps()
    result = distil(recipe, target_folder, tmp_path / "draft", sampled_folder, trainer, watcher, clock_of(120))
    assert result.after.divergence.mean < 0.9 * result.before.divergence.mean
    assert result.after.top1.mean > result.before.top1.mean
    assert result.after.overlap[1.0].mean > result.before.overlap[1.0].mean
    assert watcher.stages == ["Sampling answers", "Asking the teacher", "Training", "Measuring and exporting"]
    assert [p.step for p in watcher.steps] == list(range(1, 120))

    model, tokenizer = load(str(tmp_path / "draft"))
    logits = model(mx.array(tokenizer.encode("Hello"))[None])
    assert logits.shape[-1] == 259
    assert bool(mx.isfinite(logits).all())
    assert model.model.embed_tokens.bits == recipe.embedding_bits
    assert result.size_bytes == sum(path.stat().st_size for path in (tmp_path / "draft").iterdir())


def test_the_bucketed_loss_is_the_divergence_of_the_coarser_distributions() -> None:
    rng = np.random.default_rng(1)
    states, rows = rng.normal(size=(5, 4)), rng.normal(size=(12, 4))
    p = rng.dirichlet(np.ones(12), 5)
    top = np.argsort(-p)[:, :3]
    q = np.exp(states @ rows.T)
    q /= q.sum(-1, keepdims=True)
    kept_p, kept_q = np.take_along_axis(p, top, -1), np.take_along_axis(q, top, -1)
    events_p = np.concatenate([kept_p, 1 - kept_p.sum(-1, keepdims=True)], -1)
    events_q = np.concatenate([kept_q, 1 - kept_q.sum(-1, keepdims=True)], -1)
    divergence = (events_p * np.log(events_p / events_q)).sum(-1).mean()
    arrays = [mx.array(x.astype(np.float32)) for x in (states, rows, np.zeros(12))]
    loss, overlap = distillation_loss(*arrays, mx.array(top), mx.array(kept_p.astype(np.float32)), 0.0)
    assert loss.item() == pytest.approx(divergence, rel=1e-4)
    assert overlap.item() == pytest.approx(np.minimum(events_p, events_q).sum(-1).mean(), rel=1e-4)


@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
@pytest.mark.parametrize("variation", [0.0, 0.5])
def test_both_backends_have_the_same_gradient(variation: float) -> None:
    import torch

    from mlx_spec.training.torch_trainer import Distillation

    rng = np.random.default_rng(2)
    states, rows, shift = (rng.normal(size=s).astype(np.float32) for s in ((6, 4), (20, 4), (20,)))
    p = rng.dirichlet(np.ones(20), 6).astype(np.float32)
    top = np.argsort(-p)[:, :5]
    kept = np.take_along_axis(p, top, -1)

    def loss(h: mx.array, e: mx.array) -> mx.array:
        return distillation_loss(h, e, mx.array(shift), mx.array(top), mx.array(kept), variation)[0]

    wanted = mx.grad(loss, argnums=(0, 1))(mx.array(states), mx.array(rows))
    h, e = (torch.tensor(x, requires_grad=True) for x in (states, rows))
    Distillation.apply(h, e, torch.tensor(shift), torch.tensor(top), torch.tensor(kept), variation).backward()
    assert np.allclose(h.grad.numpy(), np.array(wanted[0]), atol=1e-5)
    assert np.allclose(e.grad.numpy(), np.array(wanted[1]), atol=1e-5)


def test_agreement_of_a_distribution_with_itself_is_whole() -> None:
    logits = np.random.default_rng(3).normal(size=(7, 30)).astype(np.float32)
    values = compare(logits, logits.copy(), (0.7, 1.0))
    assert np.allclose(values, [[1.0, 0.0, 1.0, 1.0]] * 7, atol=1e-5)


def test_the_standard_error_counts_dialogues_not_tokens() -> None:
    """Ten equal tokens in one dialogue say no more than one."""
    single = estimate(np.array([0.0, 1.0, 1.0, 0.0]), np.arange(4))
    repeated = estimate(np.repeat([0.0, 1.0, 1.0, 0.0], 10), np.repeat(np.arange(4), 10))
    assert repeated.mean == single.mean == 0.5
    assert repeated.error == pytest.approx(single.error) == pytest.approx(0.25)


def test_errors_say_what_is_wrong(
    target_folder: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        distil(recipe, tmp_path / "nowhere", tmp_path / "out", tmp_path / "corpus", "mlx", Watcher())
    with pytest.raises(ConfigError, match="minutes is 0"):
        replace(recipe, minutes=0.0)
    with pytest.raises(TrainingError, match="held-out"):
        evaluate([], np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32), lambda ids: ids)
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(TrainingError, match="--trainer mlx"):
        require_torch()


def test_rates_and_loss_follow_the_clock() -> None:
    recipe = Recipe()
    rates = [recipe.rate_at(x) for x in np.linspace(recipe.warm_up, 1, 20)]
    assert rates[0] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(recipe.final_rate)
    assert rates == sorted(rates, reverse=True)
    assert recipe.rate_at(0.0) == 0.0
    assert recipe.variation_at(0.0) == 0.0
    assert recipe.variation_at(0.99) == recipe.variation_weight


def test_the_command_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    help_text = CliRunner().invoke(app, ["draft", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert help_text.exit_code == 0
    assert "--trainer" in help_text.output
    wrong = CliRunner().invoke(
        app, ["draft", "--target", str(tmp_path), "--out", str(tmp_path / "o"), "--trainer", "jax"]
    )
    assert isinstance(wrong.exception, ConfigError)


def test_the_command_prints_one_object(
    target_folder: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "mlx_spec.training.command.with_options", lambda *_: replace(recipe, answer_tokens=300, minutes=0.005)
    )
    out = tmp_path / "draft"
    run = CliRunner().invoke(app, ["draft", "--target", str(target_folder), "--out", str(out), "--json"])
    assert run.exit_code == 0, run.output
    report = json.loads(run.stdout)
    assert report["draft"] == str(out)
    assert report["after"]["answers"] > 0
    assert (tmp_path / "draft-corpus" / "shard-0000.npz").exists()
