"""The recipe for Medusa-1 heads (Cai et al. 2024, arXiv 2401.10774, section 2.2.1): the target stays as it is.

A corpus keeps the target's last state before every answer token, which is all that a head reads: head k learns from the
state before token j what the target said of token j + k + 1. So training never runs the target.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten
from numpy.typing import NDArray

from mlx_spec.errors import ConfigError
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.heads.ends import target_ends
from mlx_spec.models.heads.medusa import MedusaHeads
from mlx_spec.training.answers.corpus import Sample, count_answers, read_corpus
from mlx_spec.training.answers.held_out import pick_held_out
from mlx_spec.training.distill import Trainer, Watcher, sample_answers
from mlx_spec.training.heads.export import write_head
from mlx_spec.training.progress import TrainingClock
from mlx_spec.training.recipe import Recipe
from mlx_spec.training.schedule import Schedule
from mlx_spec.training.target import Target, load_target


@dataclass(frozen=True, slots=True)
class MedusaRecipe:
    """How Medusa heads are trained. `heads` guess as many tokens ahead; `decay` is what each counts beside the one
    before, the paper's 0.8."""

    seed: int = 0
    answer_tokens: int = 1_500_000
    minutes: float = 60.0
    heads: int = 3
    blocks: int = 1
    decay: float = 0.8
    batch_tokens: int = 512
    rate: float = 1e-3
    warm_up: float = 0.02
    held_out_tokens: int = 8000

    def __post_init__(self) -> None:
        """Raises ConfigError, naming the field, its value and its range."""
        for name in ("answer_tokens", "heads", "blocks", "batch_tokens", "held_out_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(name, getattr(self, name), "at least 1")
        for name in ("minutes", "rate"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(name, getattr(self, name), "more than 0")
        if not 0.0 < self.decay <= 1.0:
            raise ConfigError("decay", self.decay, "more than 0 and at most 1")


@dataclass(frozen=True, slots=True)
class MedusaResult:
    """What came out: held-out agreement before training and after, bytes on disk, and the answer tokens that there were
    to learn from."""

    before: "HeadsAgreement"
    after: "HeadsAgreement"
    size_bytes: int
    training_answers: int


def train_medusa(
    recipe: MedusaRecipe,
    target_folder: ModelFolder,
    out: Path,
    corpus: Path,
    sampler: Trainer,
    watcher: Watcher,
    clock: Callable[[], float] = time.monotonic,
) -> MedusaResult:
    """Train heads for a target, in MLX, and leave them in `out` in the published format.

    What the answers below `corpus` lack of `recipe.answer_tokens` is sampled. Raises TrainingError, ModelError,
    StorageError.
    """
    target = load_target(target_folder)
    sampling = Recipe(answer_tokens=recipe.answer_tokens, seed=recipe.seed)
    sample_answers(sampling, target, corpus, sampler, watcher, elsewhere=True)
    training, held_out = read_corpus(corpus)
    watched = pick_held_out(held_out, recipe.held_out_tokens)
    output = target_ends(target.model).output
    heads = initial_heads(recipe, target)
    before = agreement(heads, watched, output)
    watcher.stage("Training")
    _train(recipe, heads, output, training, watcher, clock)
    watcher.stage("Measuring and exporting")
    size = export_medusa(heads, recipe, target, out)
    return MedusaResult(before, agreement(heads, watched, output), size, count_answers(training))


def initial_heads(recipe: MedusaRecipe, target: Target) -> MedusaHeads:
    """The paper's start: blocks that change nothing, and the target's own vocabulary matrix."""
    ends = target_ends(target.model)
    heads = MedusaHeads(recipe.heads, recipe.blocks, ends.hidden_size, ends.vocab_size)
    name = "lm_head.weight" if "lm_head.weight" in target.weights else "model.embed_tokens.weight"
    matrix = mx.array(target.weights[name])
    for blocks in heads.heads:
        for block in blocks[:-1]:
            block.linear.weight = mx.zeros_like(block.linear.weight)
            block.linear.bias = mx.zeros_like(block.linear.bias)
        blocks[-1].weight = mx.array(matrix)
    return heads


@dataclass(frozen=True, slots=True)
class HeadsAgreement:
    """Of each head: how often its likeliest token is the target's, and KL(p || q) in nats."""

    top1: tuple[float, ...]
    divergence: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class MedusaBatch:
    """States `[n, hidden]` (bfloat16 bits) and, for each head, the states that say what it should have said
    `[heads, n, hidden]`, with 0 in `there` `[heads, n]` where the answer was over."""

    states: NDArray[np.uint16]
    ahead: NDArray[np.uint16]
    there: NDArray[np.float32]


def to_medusa_batch(sample: Sample, heads: int) -> MedusaBatch:
    """What a dialogue teaches: an answer's states, and those further on in the same answer."""
    places = np.flatnonzero(sample.answer)
    count = len(places)
    ahead = np.zeros((heads, *sample.hidden.shape), np.uint16)
    there = np.zeros((heads, count), np.float32)
    for head in range(heads):
        offset = head + 1
        if count > offset:
            ahead[head, :-offset] = sample.hidden[offset:]
            # Two answers of one dialogue have a question between them.
            there[head, :-offset] = places[offset:] - places[:-offset] == offset
    return MedusaBatch(sample.hidden, ahead, there)


def medusa_batches(samples: Sequence[Sample], heads: int, tokens: int, seed: int) -> Iterator[MedusaBatch]:
    """Endless batches of at least `tokens` answer tokens, dealt anew each epoch."""
    rng, parts, held = np.random.default_rng(seed), list[MedusaBatch](), 0
    while True:
        for index in rng.permutation(len(samples)):
            parts.append(to_medusa_batch(samples[index], heads))
            held += len(parts[-1].states)
            if held >= tokens:
                yield MedusaBatch(
                    np.concatenate([part.states for part in parts]),
                    np.concatenate([part.ahead for part in parts], axis=1),
                    np.concatenate([part.there for part in parts], axis=1),
                )
                parts, held = [], 0


def medusa_loss(
    heads: MedusaHeads, output: Callable[[mx.array], mx.array], batch: MedusaBatch, decay: float
) -> mx.array:
    """Σ over heads k of decay^k KL(p || q), a mean over the tokens that are there."""
    states, loss = floats(batch.states), mx.array(0.0)
    for head, blocks in enumerate(heads.heads):
        there = mx.array(batch.there[head])
        divergence = divergences(output(floats(batch.ahead[head])), guess(blocks, states))
        loss = loss + decay**head * (divergence * there).sum() / mx.maximum(there.sum(), 1.0)
    return loss


def agreement(heads: MedusaHeads, samples: Sequence[Sample], output: Callable[[mx.array], mx.array]) -> HeadsAgreement:
    """The heads' agreement with the target over some dialogues."""
    right, apart, count = np.zeros(heads.count), np.zeros(heads.count), np.zeros(heads.count)
    for sample in samples:
        batch = to_medusa_batch(sample, heads.count)
        for head, blocks in enumerate(heads.heads):
            there, target = mx.array(batch.there[head]), output(floats(batch.ahead[head]))
            row = guess(blocks, floats(batch.states))
            same = mx.argmax(row, axis=-1) == mx.argmax(target, axis=-1)
            right[head] += cast(float, (same * there).sum().item())
            apart[head] += cast(float, (divergences(target, row) * there).sum().item())
            count[head] += batch.there[head].sum()
    count = np.maximum(count, 1)
    return HeadsAgreement(tuple((right / count).tolist()), tuple((apart / count).tolist()))


def guess(blocks: Sequence[nn.Module], states: mx.array) -> mx.array:
    """One head's logits `[n, vocab]` for states `[n, hidden]`."""
    for block in blocks:
        states = block(states)
    return states


def divergences(target: mx.array, draft: mx.array) -> mx.array:
    """KL(p || q) of each row of logits `[n, vocab]`."""
    log_p, log_q = (x.astype(mx.float32) - mx.logsumexp(x, axis=-1, keepdims=True) for x in (target, draft))
    return (mx.exp(log_p) * (log_p - log_q)).sum(-1)


def floats(bits: NDArray[np.uint16]) -> mx.array:
    """bfloat16 bits as float32."""
    return mx.array(bits).view(mx.bfloat16).astype(mx.float32)


def _train(
    recipe: MedusaRecipe,
    heads: MedusaHeads,
    output: Callable[[mx.array], mx.array],
    training: Sequence[Sample],
    watcher: Watcher,
    clock: Callable[[], float],
) -> None:
    optimizer = optim.AdamW(recipe.rate, betas=[0.9, 0.98], weight_decay=0.01, bias_correction=True)
    rates = Schedule(warm_up=recipe.warm_up)
    batches = medusa_batches(training, recipe.heads, recipe.batch_tokens, recipe.seed)
    elapsed = TrainingClock(recipe.minutes)
    for share in elapsed.shares(clock):
        batch = next(batches)
        loss = nn.value_and_grad(heads, partial(medusa_loss, output=output, batch=batch, decay=recipe.decay))
        optimizer.learning_rate = recipe.rate * rates.rate_at(share)
        value, grads = loss(heads)
        grads, _ = optim.clip_grad_norm(grads, 1.0)
        optimizer.update(heads, grads)
        mx.eval(heads.parameters(), optimizer.state, value)
        watcher.stepped(elapsed.stepped(share, len(batch.states), cast(float, mx.exp(-value).item()), dict))


def export_medusa(heads: MedusaHeads, recipe: MedusaRecipe, target: Target, out: Path) -> int:
    """Save the heads under their published names, in bfloat16; the folder's size in bytes. Raises StorageError."""
    named: dict[str, Any] = dict(tree_flatten(heads.parameters()))
    weights = {name.removeprefix("heads."): value.astype(mx.bfloat16) for name, value in named.items()}
    config = {
        "medusa_num_heads": recipe.heads,
        "medusa_num_layers": recipe.blocks,
        "base_model_name_or_path": target.folder.name,
        "hidden_size": target.config["hidden_size"],
        "vocab_size": target.config["vocab_size"],
    }
    return write_head(out, "medusa_lm_head.safetensors", weights, json.dumps(config, indent=2), "The heads")
