"""The whole recipe on a tiny target, and its parts against naive formulas."""

import importlib.util
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm import load
from numpy.typing import NDArray
from typer.testing import CliRunner

from mlx_spec.cli.commands.train.app import app
from mlx_spec.errors import ConfigError, CorruptModelError, ModelNotFoundError, TrainingError
from mlx_spec.models.folder import ModelFolder
from mlx_spec.training.answers.corpus import count_answers, count_stored, read_corpus, read_shard, shard_paths
from mlx_spec.training.answers.held_out import pick_held_out
from mlx_spec.training.distill import Trainer, Watcher, distil, require_torch, sample_answers
from mlx_spec.training.evaluate import Agreement, compare, estimate, evaluate
from mlx_spec.training.export import build_draft, export_draft, quantise
from mlx_spec.training.initial import draft_config, initial_weights
from mlx_spec.training.on_mlx.trainer import distillation_loss
from mlx_spec.training.progress import Progress
from mlx_spec.training.recipe import Recipe
from mlx_spec.training.rounding import rounding
from mlx_spec.training.sampled_vocabulary import SampledVocabulary, VocabularySampler
from mlx_spec.training.start import read_weights
from mlx_spec.training.target import Target

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
        self.checks: list[float] = []
        self.sampled_tokens: list[int] = []

    def stage(self, name: str) -> None:
        self.stages.append(name)

    def stepped(self, progress: Progress) -> None:
        self.steps.append(progress)

    def checked(self, progress: Progress, agreement: Agreement) -> None:
        assert agreement.answers >= 50
        self.checks.append(progress.share)

    def sampled(self, tokens: int) -> None:
        self.sampled_tokens.append(tokens)


@pytest.mark.parametrize("trainer", BACKENDS)
def test_the_recipe_makes_a_draft_that_agrees_more(
    trainer: Trainer, target_folder: ModelFolder, sampled_folder: Path, recipe: Recipe, tmp_path: Path
) -> None:
    watcher = Steps()
    result = distil(recipe, target_folder, tmp_path / "draft", sampled_folder, trainer, watcher, clock=clock_of(40))
    assert result.after.divergence.mean < 0.9 * result.before.divergence.mean
    assert result.after.top1.mean > result.before.top1.mean
    assert result.after.overlap[1.0].mean > result.before.overlap[1.0].mean
    assert watcher.stages == ["Sampling answers", "Measuring the start", "Training", "Measuring and exporting"]
    assert [p.step for p in watcher.steps] == list(range(1, 40))

    model, tokenizer = load(str(tmp_path / "draft"))
    logits = model(mx.array(tokenizer.encode("Hello"))[None])
    assert logits.shape[-1] == 259
    assert bool(mx.isfinite(logits).all())
    assert model.model.embed_tokens.bits == recipe.embedding_bits
    assert result.size_bytes == sum(path.stat().st_size for path in (tmp_path / "draft").iterdir())


def distribution(states: NDArray[Any], embedding: NDArray[Any], stands_for: NDArray[Any]) -> NDArray[Any]:
    """The softmax over all tokens, in float64, each counted as often as it stands for others: not at all, once, or
    more."""
    weights = stands_for * np.exp(states.astype(np.float64) @ embedding.astype(np.float64).T)
    return weights / weights.sum(-1, keepdims=True)


def oracle(
    arrays: list[NDArray[Any]], variation: float, stands_for: NDArray[Any], at: int, value: NDArray[Any]
) -> tuple[float, float]:
    """The loss by its definition and Σ min(p, q), with array `at` replaced."""
    states, embedding, hidden, teacher = (value if place == at else array for place, array in enumerate(arrays))
    p, q = distribution(hidden, teacher, stands_for), distribution(states, embedding, stands_for)
    p, q = p[:, stands_for > 0], q[:, stands_for > 0]
    divergence, distance = (p * np.log(p / q)).sum(-1), np.abs(q - p).sum(-1)
    return float(((1 - variation) * divergence + variation * distance).mean()), float(np.minimum(p, q).sum(-1).mean())


def slope(function: Callable[[NDArray[Any]], float], at: NDArray[Any]) -> NDArray[Any]:
    """The gradient of a function of a matrix, by central differences."""
    grad, step = np.zeros(at.shape), 1e-6
    for place in np.ndindex(*at.shape):
        change = np.zeros(at.shape)
        change[place] = step
        grad[place] = (function(at + change) - function(at - change)) / (2 * step)
    return grad


def mlx_gradients(arrays: list[NDArray[Any]], sampled: SampledVocabulary, variation: float) -> tuple[Any, Any, float]:
    states, embedding, hidden, teacher = (mx.array(array.astype(np.float32)) for array in arrays)

    def loss(h: mx.array, e: mx.array) -> tuple[mx.array, mx.array]:
        ids = mx.array(sampled.ids)
        return distillation_loss(h, e[ids], hidden, teacher[ids], mx.array(sampled.offsets), variation)

    (_, overlap), grads = mx.value_and_grad(loss, argnums=(0, 1))(states, embedding)
    return np.array(grads[0]), np.array(grads[1]), overlap.item()


def torch_gradients(arrays: list[NDArray[Any]], sampled: SampledVocabulary, variation: float) -> tuple[Any, Any, float]:
    import torch

    from mlx_spec.training.on_torch.divergence import Divergence, Teacher

    states, embedding, hidden, teacher = (torch.tensor(array) for array in arrays)
    states.requires_grad_()
    embedding.requires_grad_()
    rows = embedding[torch.from_numpy(sampled.ids)]
    overlap = Divergence.apply(states, rows, hidden, Teacher(teacher), sampled, variation)
    overlap.backward()
    return states.grad.numpy(), embedding.grad.numpy(), float(overlap.detach())


@pytest.mark.parametrize("trainer", BACKENDS)
@pytest.mark.parametrize("drawn", [0, 3, 20])
@pytest.mark.parametrize("variation", [0.0, 0.5, 1.0])
def test_the_loss_has_the_gradient_of_its_definition_over_the_scored_vocabulary(
    trainer: Trainer, drawn: int, variation: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven tokens in chunks of three, so that a border is crossed and the last chunk is short; of a vocabulary of 20,
    seven frequent ones and none, three or all of the others."""
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=shape) for shape in ((7, 4), (20, 4), (7, 5), (20, 5))]
    sampled = VocabularySampler(20, np.arange(7), drawn, 0).sample(np.array([], np.int64))
    stands_for = np.zeros(20)
    stands_for[sampled.ids] = np.exp(sampled.offsets)
    if trainer == "torch":
        for name, value in (("CHUNK", 3), ("SLICE", 2), ("WATCHED", 1)):
            monkeypatch.setattr(f"mlx_spec.training.on_torch.divergence.{name}", value)
    else:
        monkeypatch.setattr("mlx_spec.training.on_mlx.trainer.CHUNK", 3)
    gradients = torch_gradients if trainer == "torch" else mlx_gradients
    *found, overlap = gradients(arrays, sampled, variation)
    for at in (0, 1):
        wanted = slope(lambda x, at=at: oracle(arrays, variation, stands_for, at, x)[0], arrays[at])
        assert np.allclose(found[at], wanted, atol=1e-5)
    assert overlap == pytest.approx(oracle(arrays, variation, stands_for, 0, arrays[0])[1], abs=1e-5)


def test_a_sample_of_the_vocabulary_stands_for_all_of_it() -> None:
    """Frequent tokens and those that were said are certain; the others come up evenly, and weigh what all of them
    do."""
    vocabulary = VocabularySampler(40, np.arange(10), 6, 0)
    counts = np.zeros(40)
    for _ in range(2000):
        sampled = vocabulary.sample(np.array([3, 17, 17]))
        assert len(set(sampled.ids.tolist())) == len(sampled.ids) == 17
        counts[sampled.ids] += np.exp(sampled.offsets)
    assert counts[:10].tolist() == [2000.0] * 10
    assert counts[17] == 2000.0
    assert np.allclose(counts / 2000, 1.0, atol=0.15)
    whole = VocabularySampler(40, np.arange(10), 100, 0).sample(np.array([3]))
    assert sorted(whole.ids.tolist()) == list(range(40))
    assert not whole.offsets.any()


@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
@pytest.mark.parametrize("variation", [0.0, 0.5])
def test_bfloat16_changes_the_gradient_by_little(variation: float) -> None:
    import torch

    from mlx_spec.training.on_torch.divergence import Divergence, Teacher

    rng = np.random.default_rng(2)
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in ((32, 16), (2000, 16), (32, 24), (2000, 24))]
    states, embedding, hidden, teacher = (torch.tensor(array).bfloat16() for array in arrays)
    sampled = VocabularySampler(2000, np.arange(100), 400, 0).sample(np.array([], np.int64))
    doubles = [tensor.double().numpy() for tensor in (states, embedding, hidden, teacher)]
    exact = torch_gradients(doubles, sampled, variation)
    states.requires_grad_()
    rows = embedding.float().requires_grad_()
    some = rows[torch.from_numpy(sampled.ids)]
    Divergence.apply(states, some, hidden, Teacher(teacher), sampled, variation).backward()
    for found, wanted in ((states.grad, exact[0]), (rows.grad, exact[1])):
        assert np.linalg.norm(found.float().numpy() - wanted) < 0.03 * np.linalg.norm(wanted)


@pytest.mark.parametrize("trainer", BACKENDS)
def test_the_last_steps_see_the_weights_as_they_will_be_exported(
    trainer: Trainer, target_folder: ModelFolder, sampled_folder: Path, recipe: Recipe, tmp_path: Path
) -> None:
    """Coarsely rounded, a draft that learnt with that is better than one that did not, from the same batches."""
    coarse = replace(recipe, layer_bits=4, embedding_bits=4)
    learnt = {}
    for share in (0.5, 1.0):
        recipe_there = replace(coarse, rounded_from=share)
        learnt[share] = distil(
            recipe_there, target_folder, tmp_path / "draft", sampled_folder, trainer, Steps(), clock=clock_of(80)
        ).after
    assert learnt[0.5].divergence.mean < learnt[1.0].divergence.mean


def test_a_rounded_matrix_is_the_exported_one(target: Target, recipe: Recipe, tmp_path: Path) -> None:
    config = draft_config(target.config, recipe.shape)
    weights = initial_weights(target.weights, recipe.shape)
    model, how = build_draft(config, weights), rounding(config, 4, 6)
    export_draft(model, quantise(model, config, how), target.folder.path, tmp_path)
    exported = read_weights(tmp_path)
    for name, weight in weights.items():
        if weight.ndim == 2:
            there = np.array(how.rounded(name, mx.array(weight)))
            assert np.abs(there - exported[name]).max() < 1e-2 * np.abs(there).max()
            assert np.abs(there - weight).max() > 0


def test_training_goes_on_from_an_earlier_draft(
    target_folder: ModelFolder, sampled_folder: Path, recipe: Recipe, tmp_path: Path
) -> None:
    """From its folder as exported, or from the floats kept beside it; a draft of another shape is refused."""
    out, watcher = tmp_path / "draft", Steps()
    first = distil(recipe, target_folder, out, sampled_folder, "mlx", watcher, clock=clock_of(60))
    assert [round(share, 1) for share in watcher.checks] == [0.2, 0.5, 0.8]
    assert load(str(out))[0].model.embed_tokens.bits == recipe.embedding_bits
    for start in (out, tmp_path / "draft.safetensors"):
        again = distil(recipe, target_folder, tmp_path / "b", sampled_folder, "mlx", Steps(), start, clock_of(2))
        assert again.before.divergence.mean == pytest.approx(first.after.divergence.mean, abs=0.02)
    wider = replace(recipe, shape=replace(recipe.shape, inner=32))
    with pytest.raises(TrainingError, match="mlp"):
        distil(wider, target_folder, out, sampled_folder, "mlx", Steps(), out)
    with pytest.raises(ModelNotFoundError, match="nothing"):
        read_weights(tmp_path / "nothing")
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    with pytest.raises(CorruptModelError, match="bad"):
        read_weights(tmp_path / "bad.safetensors")


def test_samplers_share_the_work_and_training_uses_all_shards(
    target_folder: ModelFolder, target: Target, recipe: Recipe, tmp_path: Path
) -> None:
    corpus, told, recipe = tmp_path / "corpus", Steps(), replace(recipe, answer_tokens=900)
    for seed in (1, 2):
        half = replace(recipe, seed=seed, answer_tokens=450)
        assert sample_answers(half, target, corpus, "mlx", told) >= 450
    assert {path.parent.name for path in shard_paths(corpus)} == {"seed-1", "seed-2"}
    assert told.sampled_tokens[-1] >= 450
    stored = count_stored(shard_paths(corpus))
    result = distil(recipe, target_folder, tmp_path / "a", corpus, "mlx", Steps(), clock=clock_of(2))
    training, held_out = read_corpus(corpus)
    assert result.training_answers == count_answers(training) == stored - count_answers(held_out)
    assert not (corpus / "seed-0").exists()

    more = replace(recipe, answer_tokens=stored + 100)
    distil(more, target_folder, tmp_path / "a", corpus, "mlx", Steps(), clock=clock_of(2))
    assert stored + 100 <= count_stored(shard_paths(corpus)) < stored + 300
    assert {path.parent.name for path in shard_paths(corpus)} == {"seed-0", "seed-1", "seed-2"}


def test_held_out_dialogues_are_picked_from_the_whole_corpus(sampled_folder: Path) -> None:
    _, held_out = read_corpus(sampled_folder)
    few = pick_held_out(held_out, 100)
    assert 100 <= count_answers(few) < count_answers(held_out)
    assert [id(s) for s in few] == [id(s) for s in pick_held_out(held_out, 200)[: len(few)]]
    assert [id(s) for s in few] != [id(s) for s in held_out[: len(few)]]


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
    target_folder: ModelFolder, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        distil(recipe, ModelFolder.at(tmp_path / "nowhere"), tmp_path / "out", tmp_path / "corpus", "mlx", Watcher())
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
    target_folder: ModelFolder, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "mlx_spec.cli.commands.train.draft.with_options", lambda *_: replace(recipe, answer_tokens=300, minutes=0.005)
    )
    out = tmp_path / "draft"
    run = CliRunner().invoke(app, ["draft", "--target", str(target_folder.path), "--out", str(out), "--json"])
    assert run.exit_code == 0, run.output
    report = json.loads(run.stdout)
    assert report["draft"] == str(out)
    assert report["after"]["answers"] > 0
    assert (tmp_path / "draft-corpus" / "seed-0" / "shard-0000.npz").exists()


def test_the_command_samples_alone(
    target_folder: ModelFolder, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "mlx_spec.cli.commands.train.sample.with_options",
        lambda _, answers, minutes, seed: replace(recipe, answer_tokens=answers, seed=seed),
    )
    options = ["--target", str(target_folder.path), "--corpus", str(tmp_path), "--answers", "100", "--seed", "7"]
    run = CliRunner().invoke(app, ["sample", *options])
    assert run.exit_code == 0, run.output
    assert f"{count_stored(shard_paths(tmp_path / 'seed-7'))} answer tokens" in run.stdout
    greedy = CliRunner().invoke(app, ["sample", *options[:-1], "8", "--temperature-weights", "1,0,0"])
    assert greedy.exit_code == 0, greedy.output
    dialogues = [sample for path in shard_paths(tmp_path / "seed-8") for sample in read_shard(path)]
    assert {sample.temperature for sample in dialogues} == {0.0}


@pytest.mark.parametrize("weights", ["often", "0.5,0.5", "1,1,-1", "0,0,0", "inf,0,0"])
def test_weights_of_temperatures_that_are_none_are_refused(
    target_folder: ModelFolder, tmp_path: Path, weights: str
) -> None:
    options = ["--target", str(target_folder.path), "--corpus", str(tmp_path), "--temperature-weights", weights]
    run = CliRunner().invoke(app, ["sample", *options], env={"COLUMNS": "300", "NO_COLOR": "1"})
    assert run.exit_code == 2
    assert "a weight for each of the temperatures 0, 0.7, 1" in run.output
