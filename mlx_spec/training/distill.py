"""The whole recipe, in order: sample a corpus, ask the teacher, cut out a draft, train it, measure it, export it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import mlx.core as mx
import numpy as np

from mlx_spec.errors import TrainingError
from mlx_spec.training.batches import epochs
from mlx_spec.training.corpus import Sample, count_answers, read_corpus
from mlx_spec.training.evaluate import Agreement, evaluate
from mlx_spec.training.export import build_draft, export_draft, mlx_embedding, mlx_hidden, quantise
from mlx_spec.training.initial import Weights, draft_config, initial_weights
from mlx_spec.training.mlx_stepper import MlxStepper
from mlx_spec.training.mlx_trainer import train_mlx
from mlx_spec.training.progress import Progress
from mlx_spec.training.recipe import Recipe
from mlx_spec.training.sampler import Stepper, sample_corpus
from mlx_spec.training.target import Target, load_target
from mlx_spec.training.teacher import FindLikeliest, condense, mlx_likeliest
from mlx_spec.training.templates import chat_format

Trainer = Literal["mlx", "torch"]
EMBEDDING = "model.embed_tokens.weight"


class Watcher:
    """What a caller may want to see; every method does nothing unless overridden."""

    def stage(self, name: str) -> None:
        """Sent when a stage begins."""

    def sampled(self, tokens: int) -> None:
        """Sent when answer tokens have been sampled; `tokens` is the sum so far."""

    def stepped(self, progress: Progress) -> None:
        """Sent after each training step."""


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
    target_folder: Path,
    out: Path,
    corpus: Path,
    trainer: Trainer,
    watcher: Watcher,
    clock: Callable[[], float] = time.monotonic,
) -> Result:
    """Make a draft for a target and leave it in `out`. Shards in `corpus` are kept and used again.

    Raises TrainingError, ModelError, StorageError.
    """
    if trainer == "torch":
        require_torch()
    target = load_target(target_folder)
    config = draft_config(target.config, recipe.shape)
    watcher.stage("Sampling answers")
    make_stepper, find = backend(trainer, target, recipe)
    sample_corpus(recipe, chat_format(target.tokenizer), make_stepper, corpus, watcher.sampled)
    watcher.stage("Asking the teacher")
    condense(corpus, find, lambda: None)
    training, held_out = read_corpus(corpus)
    start = initial_weights(target.weights, recipe.shape)
    watcher.stage("Training")
    model = build_draft(config, start)
    measured = pick_held_out(held_out, recipe.held_out_tokens)
    before = evaluate(measured, target.weights[EMBEDDING], start[EMBEDDING], lambda ids: mlx_hidden(model, ids))
    batches = epochs(training, recipe.batch_tokens, recipe.seed)
    if trainer == "torch":
        from mlx_spec.training.torch_trainer import train_torch

        trained = train_torch(recipe, config, start, batches, watcher.stepped, clock)
    else:
        trained = train_mlx(recipe, model, batches, watcher.stepped, clock)
    watcher.stage("Measuring and exporting")
    after, size = finish(recipe, target, trained, measured, out)
    return Result(before, after, size, count_answers(training))


def finish(
    recipe: Recipe, target: Target, trained: Weights, held_out: list[Sample], out: Path
) -> tuple[Agreement, int]:
    """Quantise, export, and measure what was exported; give its agreement and its bytes on disk."""
    config = draft_config(target.config, recipe.shape)
    model = build_draft(config, trained)
    exported = quantise(model, config, recipe.layer_bits, recipe.embedding_bits)
    size = export_draft(model, exported, target.folder, out)
    agreement = evaluate(held_out, target.weights[EMBEDDING], mlx_embedding(model), lambda ids: mlx_hidden(model, ids))
    return agreement, size


def pick_held_out(held_out: list[Sample], tokens: int) -> list[Sample]:
    """The first held-out dialogues that have `tokens` answer tokens together."""
    ends = np.cumsum([len(sample.hidden) for sample in held_out])
    return held_out[: int(np.searchsorted(ends, tokens)) + 1]


def backend(trainer: Trainer, target: Target, recipe: Recipe) -> tuple[Callable[[int], Stepper], FindLikeliest]:
    """How to run the target, and how to find its likeliest tokens."""
    if trainer == "mlx":
        embedding = mx.array(target.weights[EMBEDDING])
        return (lambda seed: MlxStepper(target.model, recipe.rows, recipe.limits.total, seed)), mlx_likeliest(embedding)
    import torch

    from mlx_spec.training.torch_llama import torch_llama
    from mlx_spec.training.torch_stepper import TorchStepper
    from mlx_spec.training.torch_teacher import torch_likeliest

    # The draft's configuration with the target's own sizes: head_dim is always spelt out there.
    config = {
        **draft_config(target.config, recipe.shape),
        **{k: v for k, v in target.config.items() if k != "quantization"},
    }
    model = torch_llama(config, target.weights).bfloat16().eval().requires_grad_(False)
    likeliest = torch_likeliest(torch.from_numpy(target.weights[EMBEDDING]).bfloat16())
    return (lambda seed: TorchStepper(model, recipe.rows, recipe.limits.total, seed)), likeliest


def require_torch() -> None:
    """Raises TrainingError where PyTorch is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise TrainingError("The torch trainer needs PyTorch: install `torch`, or use `--trainer mlx`.") from error


def with_options(recipe: Recipe, answers: int, minutes: float, seed: int) -> Recipe:
    """The recipe with the options that the command line offers."""
    return replace(recipe, answer_tokens=answers, minutes=minutes, seed=seed)
