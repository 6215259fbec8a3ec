"""The whole recipe, in order: sample a corpus, cut out a draft or take an earlier one, train it, measure it, export
it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from mlx_lm.models import llama
from numpy.typing import NDArray

from mlx_spec.errors import TrainingError
from mlx_spec.models.folder import ModelFolder
from mlx_spec.training.answers.corpus import Corpus, Sample, count_answers, count_stored, frequent_tokens, shard_paths
from mlx_spec.training.answers.held_out import pick_held_out
from mlx_spec.training.answers.sampler import Stepper, sample_corpus
from mlx_spec.training.answers.templates import chat_format
from mlx_spec.training.batches import epochs
from mlx_spec.training.evaluate import Agreement, evaluate
from mlx_spec.training.export import build_draft, export_draft, mlx_embedding, mlx_hidden, quantise, save_floats
from mlx_spec.training.initial import EMBEDDING, Weights, draft_config
from mlx_spec.training.on_mlx.stepper import MlxStepper
from mlx_spec.training.on_mlx.trainer import train_mlx
from mlx_spec.training.progress import Progress
from mlx_spec.training.recipe import Recipe
from mlx_spec.training.rounding import rounding
from mlx_spec.training.sampled_vocabulary import VocabularySampler
from mlx_spec.training.start import start_weights
from mlx_spec.training.target import Target, load_target

Trainer = Literal["mlx", "torch"]


class Watcher:
    """What a caller may want to see; every method does nothing unless overridden."""

    def stage(self, name: str) -> None:
        """Sent when a stage begins."""

    def sampled(self, tokens: int) -> None:
        """Sent when answer tokens have been sampled; `tokens` is the sum so far."""

    def stepped(self, progress: Progress) -> None:
        """Sent after each training step."""

    def checked(self, progress: Progress, agreement: Agreement) -> None:
        """Sent now and then while training: the agreement on a few held-out answers, before quantising."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came out: the exported draft's agreement on held-out answers, before training and after, and its size on
    disk."""

    before: Agreement
    after: Agreement
    size_bytes: int
    training_answers: int


def distil(
    recipe: Recipe,
    target_folder: ModelFolder,
    out: Path,
    corpus: Path,
    trainer: Trainer,
    watcher: Watcher,
    start: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Result:
    """Make a draft for a target and leave it in `out`, going on from the draft in `start` where one is given.

    All shards below `corpus` are used, also those that others write meanwhile; only what they lack at first of
    `recipe.answer_tokens` is sampled. At each check the float weights go to `OUT.safetensors`, to start from after an
    accident. Raises TrainingError, ModelError, StorageError.
    """
    if trainer == "torch":
        require_torch()
    target = load_target(target_folder)
    config, first = draft_config(target.config, recipe.shape), start_weights(target, recipe.shape, start)
    sample_answers(recipe, target, corpus, trainer, watcher, elsewhere=True)
    dialogues = Corpus(corpus)
    training, held_out = dialogues.read()
    measured = pick_held_out(held_out, recipe.held_out_tokens)
    watcher.stage("Measuring the start")
    before = measure(target, build_draft(config, first), measured)
    watcher.stage("Training")
    batches = epochs(lambda: dialogues.read()[0], recipe.batch_tokens, recipe.seed)
    frequent = frequent_tokens(training, recipe.frequent_tokens)
    vocabulary = VocabularySampler(config["vocab_size"], frequent, recipe.drawn_tokens, recipe.seed)
    check = checking(recipe, target, pick_held_out(held_out, recipe.watched_tokens), out, watcher)
    teaching = (target.weights[EMBEDDING], vocabulary, batches, check, clock)
    if trainer == "torch":
        from mlx_spec.training.on_torch.trainer import train_torch

        trained = train_torch(recipe, config, first, *teaching)
    else:
        trained = train_mlx(recipe, build_draft(config, first), *teaching)
    watcher.stage("Measuring and exporting")
    after, size = finish(recipe, target, trained, measured, out)
    return Result(before, after, size, count_answers(training))


def sample_answers(
    recipe: Recipe, target: Target, corpus: Path, trainer: Trainer, watcher: Watcher, elsewhere: bool = False
) -> int:
    """Let the target write answers into the seed's own folder below `corpus` until that holds `recipe.answer_tokens`;
    with `elsewhere`, until all folders below `corpus` do together. Gives their number.

    Several processes may share the work, each with a seed of its own.
    """
    watcher.stage("Sampling answers")
    own = corpus / f"seed-{recipe.seed}"
    others = count_stored([path for path in shard_paths(corpus) if path.parent != own]) if elsewhere else 0
    sample_corpus(
        recipe,
        chat_format(target.tokenizer),
        lambda seed: make_stepper(trainer, target, recipe, seed),
        own,
        recipe.answer_tokens - others,
        lambda tokens: watcher.sampled(others + tokens),
    )
    return others + count_stored(shard_paths(own))


def checking(
    recipe: Recipe, target: Target, watched: list[Sample], out: Path, watcher: Watcher
) -> Callable[[Progress], None]:
    """What the trainer calls after each step: `recipe.checks` times on the way, evenly, it keeps the weights and
    measures them."""
    config, done = draft_config(target.config, recipe.shape), 0

    def stepped(progress: Progress) -> None:
        nonlocal done
        watcher.stepped(progress)
        if int(progress.share * recipe.checks) > done:
            done = int(progress.share * recipe.checks)
            weights = progress.weights()
            save_floats(weights, out.with_name(f"{out.name}.safetensors"))
            watcher.checked(progress, measure(target, build_draft(config, weights), watched))

    return stepped


def finish(
    recipe: Recipe, target: Target, trained: Weights, held_out: list[Sample], out: Path
) -> tuple[Agreement, int]:
    """Quantise, export, and measure what was exported; give its agreement and its bytes on disk."""
    config = draft_config(target.config, recipe.shape)
    model = build_draft(config, trained)
    save_floats(trained, out.with_name(f"{out.name}.safetensors"))
    exported = quantise(model, config, rounding(config, recipe.layer_bits, recipe.embedding_bits))
    size = export_draft(model, exported, target.folder.path, out)
    return measure(target, model, held_out), size


def measure(
    target: Target, model: llama.Model, held_out: list[Sample], only: NDArray[np.int64] | None = None
) -> Agreement:
    """A draft's agreement with the target on some dialogues; with `only`, it scores no other tokens than these."""
    teacher, embedding = target.weights[EMBEDDING], mlx_embedding(model)
    return evaluate(held_out, teacher, embedding, lambda ids: mlx_hidden(model, ids), only=only)


def make_stepper(trainer: Trainer, target: Target, recipe: Recipe, seed: int) -> Stepper:
    """How to run the target for sampling."""
    if trainer == "mlx":
        return MlxStepper(target.model, recipe.rows, recipe.limits.total, seed)
    from mlx_spec.training.on_torch.llama import torch_llama
    from mlx_spec.training.on_torch.stepper import TorchStepper

    # The draft's configuration with the target's own sizes: head_dim is always spelt out there.
    config = {
        **draft_config(target.config, recipe.shape),
        **{k: v for k, v in target.config.items() if k != "quantization"},
    }
    model = torch_llama(config, target.weights).bfloat16().eval().requires_grad_(False)
    return TorchStepper(model, recipe.rows, recipe.limits.total, seed)


def require_torch() -> None:
    """Raises TrainingError where PyTorch is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise TrainingError("The torch trainer needs PyTorch: install `torch`, or use `--trainer mlx`.") from error


def with_options(recipe: Recipe, answers: int, minutes: float, seed: int) -> Recipe:
    """The recipe with the options that the command line offers."""
    return replace(recipe, answer_tokens=answers, minutes=minutes, seed=seed)
