"""The recipe for an EAGLE-3 head (Li et al. 2025, arXiv 2503.01840), in order: sampled answers, the target's states,
training, measuring, export."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.heads.loading import load_head
from mlx_spec.training.answers.corpus import Sample, count_answers, frequent_tokens, read_corpus
from mlx_spec.training.answers.features import ComputeFeatures, FeatureStore
from mlx_spec.training.answers.held_out import pick_held_out
from mlx_spec.training.distill import Trainer, Watcher, require_torch, sample_answers
from mlx_spec.training.evaluate import widen
from mlx_spec.training.export import save_floats
from mlx_spec.training.heads.batches import EagleBatch, eagle_batches
from mlx_spec.training.heads.chains import ChainAgreement, LogitsAt, StepLogits, measure_chains
from mlx_spec.training.heads.export import export_eagle
from mlx_spec.training.heads.initial import initial_eagle
from mlx_spec.training.heads.recipe import EagleRecipe
from mlx_spec.training.heads.start import EagleStart, read_start
from mlx_spec.training.initial import EMBEDDING, Weights
from mlx_spec.training.on_mlx.eagle_trainer import MlxEagleTrainer, MlxFeatures, head_logits, head_of
from mlx_spec.training.progress import Progress
from mlx_spec.training.recipe import Recipe
from mlx_spec.training.rounding import Rounding, rounding
from mlx_spec.training.target import Target, load_target


class EagleWatcher(Watcher):
    """What a caller may want to see; every method does nothing unless overridden."""

    def reached(self, progress: Progress, agreement: ChainAgreement) -> None:
        """Sent now and then while training: what chains bring on a few held-out answers, before quantising."""


class HeadTrainer(Protocol):
    """A head under training, on either backend."""

    def train(
        self, batches: Iterator[EagleBatch], report: Callable[[Progress], None], clock: Callable[[], float]
    ) -> Weights:
        """Train until the recipe's minutes are over, earlier runs of this trainer included; returns the weights.
        `report` is told of each step, `clock` tells seconds."""
        ...

    def logits_of(self, ids: NDArray[np.int32], features: NDArray[np.uint16]) -> list[LogitsAt]:
        """The head as `measure_chains` runs it: see `StepLogits`."""
        ...

    def save(self, path: Path) -> None:
        """Keep everything that going on needs, whole or not at all."""
        ...

    def load(self, path: Path) -> None:
        """Go on from what `save` kept."""
        ...

    @property
    def spent_share(self) -> float:
        """The share of the recipe's time that is over, 0 to 1."""
        ...


@dataclass(frozen=True, slots=True)
class EagleResult:
    """What came out: what chains bring on held-out answers, before quantising and as exported; bytes on disk; the
    answer tokens that were there to learn from."""

    trained: ChainAgreement
    exported: ChainAgreement
    size_bytes: int
    training_answers: int


@dataclass(frozen=True, slots=True)
class _Setup:
    """What a training run is made of: the target, both sides of the corpus, and how the target is read."""

    recipe: EagleRecipe
    target: Target
    config: dict[str, Any]
    training: list[Sample]
    watched: list[Sample]
    token_ids: NDArray[np.int64]
    taps: tuple[int, ...]
    compute: ComputeFeatures
    start: EagleStart | None
    states: dict[int, NDArray[np.uint16]]

    def measure(self, samples: list[Sample], logits_of: StepLogits) -> ChainAgreement:
        """Measure on some of the watched dialogues."""
        teacher = self.target.weights[EMBEDDING]
        return measure_chains(samples, lambda sample: self.states[id(sample)], teacher, self.token_ids, logits_of)


def train_eagle(
    recipe: EagleRecipe,
    target_folder: ModelFolder,
    out: Path,
    corpus: Path,
    trainer: Trainer,
    watcher: EagleWatcher,
    start: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> EagleResult:
    """Train a head for a target, and leave it in `out` in the published format, going on from the head in `start`
    where one is given: with its vocabulary and its layers.

    All answers below `corpus` are used; what they lack of `recipe.answer_tokens` is sampled. The target's states are
    kept in `OUT-features`. At each check the float weights go to `OUT.safetensors`, and `OUT.training` takes what a run
    that was stopped goes on from. Raises TrainingError, ModelError, StorageError.
    """
    if trainer == "torch":
        require_torch()
    target = load_target(target_folder)
    sampling = replace(Recipe(), answer_tokens=recipe.answer_tokens, seed=recipe.seed)
    sample_answers(sampling, target, corpus, trainer, watcher, elsewhere=True)
    watcher.stage("Reading the target's states of held-out answers")
    setup = prepare(recipe, target, corpus, trainer, read_start(start, target) if start else None)
    head = make_trainer(setup, trainer)
    trained = run(setup, head, out, watcher, clock)
    watcher.stage("Measuring and exporting")
    before = setup.measure(setup.watched, head.logits_of)
    size = export(setup, trained, out)
    return EagleResult(before, measure_exported(setup, out), size, count_answers(setup.training))


def compute_states(
    recipe: EagleRecipe, target_folder: ModelFolder, out: Path, corpus: Path, trainer: Trainer, watcher: EagleWatcher
) -> int:
    """Fill `OUT-features` with the target's states of all training dialogues, the last that training would come to
    first: beside a training run with `only_ready`, or before one. Gives the number of dialogues."""
    setup = prepare(recipe, load_target(target_folder), corpus, trainer)
    store = make_store(setup, out)
    watcher.stage("Reading the target's states")
    while len(missing := np.setdiff1d(np.arange(len(setup.training)), store.ready())):
        store.fill(missing[-8:].tolist())
        watcher.sampled(len(setup.training) - len(missing))
    return len(setup.training)


def prepare(
    recipe: EagleRecipe, target: Target, corpus: Path, trainer: Trainer, start: EagleStart | None = None
) -> _Setup:
    """Read the corpus, choose the draft's vocabulary, and run the target over the held-out side."""
    training, held_out = read_corpus(corpus)
    config = head_config(target)
    taps = start.taps if start else recipe.taps_of(config["num_hidden_layers"])
    compute = make_features(target, config, taps, trainer)
    watched = pick_held_out(held_out, recipe.held_out_tokens)
    return _Setup(
        recipe.going_on() if start else recipe,
        target,
        config,
        training,
        watched,
        start.token_ids if start else frequent_tokens(training, recipe.draft_tokens),
        taps,
        compute,
        start,
        {id(sample): compute(sample.ids[None])[0] for sample in watched},
    )


def head_config(target: Target) -> dict[str, Any]:
    """The target's configuration with `head_dim` spelt out; a head has the target's own sizes."""
    config = {name: value for name, value in target.config.items() if not name.startswith("quantization")}
    config["head_dim"] = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    return config


def make_features(target: Target, config: dict[str, Any], taps: tuple[int, ...], trainer: Trainer) -> ComputeFeatures:
    """How to run the target for its states."""
    if trainer == "mlx":
        return MlxFeatures(target.model, taps)
    from mlx_spec.training.on_torch.eagle_trainer import TorchFeatures

    return TorchFeatures(config, target.weights, taps)


def make_trainer(setup: _Setup, trainer: Trainer) -> HeadTrainer:
    """A head at its start, which reads states scaled to about 1."""
    hidden, layers = setup.config["hidden_size"], setup.config["num_hidden_layers"]
    embedding, scales = setup.target.weights[EMBEDDING], state_scales(list(setup.states.values()), hidden)
    if setup.start:
        weights = {**setup.start.weights, "fc.weight": setup.start.weights["fc.weight"] / scales}
    else:
        weights = initial_eagle(setup.target.weights, layers, len(setup.taps), setup.token_ids)
    if trainer == "mlx":
        head = head_of(setup.config, setup.target.model, setup.taps, len(setup.token_ids))
        return MlxEagleTrainer(setup.recipe, head, weights, embedding, setup.token_ids, scales, head_rounding(setup))
    from mlx_spec.training.on_torch.eagle_trainer import TorchEagleTrainer

    return TorchEagleTrainer(
        setup.recipe, setup.config, weights, embedding, setup.token_ids, scales, head_rounding(setup)
    )


def make_store(setup: _Setup, out: Path) -> FeatureStore:
    """The states of the training side, beside the head that they are for."""
    width = len(setup.taps) * setup.config["hidden_size"]
    return FeatureStore(setup.training, setup.taps, width, out.with_name(f"{out.name}-features"), setup.compute)


def run(setup: _Setup, head: HeadTrainer, out: Path, watcher: EagleWatcher, clock: Callable[[], float]) -> Weights:
    """Train, from the last check on where there was one."""
    recipe, kept = setup.recipe, out.with_name(f"{out.name}.training")
    if kept.exists():
        head.load(kept)
    few = pick_held_out(setup.watched, recipe.watched_tokens)
    done = int(head.spent_share * recipe.checks)

    def stepped(progress: Progress) -> None:
        nonlocal done
        watcher.stepped(progress)
        if int(progress.share * recipe.checks) > done:
            done = int(progress.share * recipe.checks)
            head.save(kept)
            save_floats(progress.weights(), out.with_name(f"{out.name}.safetensors"))
            watcher.reached(progress, setup.measure(few, head.logits_of))

    watcher.stage("Training")
    store = make_store(setup, out)
    batches = eagle_batches(
        setup.training, store, recipe.batch_tokens, recipe.seed + done, only_ready=recipe.only_ready
    )
    trained = head.train(batches, stepped, clock)
    save_floats(trained, out.with_name(f"{out.name}.safetensors"))
    return trained


def export(setup: _Setup, trained: Weights, out: Path) -> int:
    """Quantise and write the head; its size in bytes."""
    head = head_of(setup.config, setup.target.model, setup.taps, len(setup.token_ids))
    head.load_weights([(name, mx.array(weight)) for name, weight in trained.items()])
    return export_eagle(head, setup.config, setup.token_ids, setup.taps, head_rounding(setup), out)


def head_rounding(setup: _Setup) -> Rounding:
    """How the head is rounded for its export."""
    return rounding(setup.config, setup.recipe.layer_bits, setup.recipe.head_bits, "lm_head.weight")


def measure_exported(setup: _Setup, out: Path) -> ChainAgreement:
    """What chains of the head in a folder bring, as it will be loaded."""
    head: Any = load_head(out, "eagle3", setup.target.model, setup.target.folder.name)
    embedding = mx.array(setup.target.weights[EMBEDDING])
    return setup.measure(
        setup.watched, lambda ids, features: head_logits(head, embedding, setup.recipe.steps, ids, features)
    )


def state_scales(states: list[NDArray[np.uint16]], hidden: int) -> NDArray[np.float32]:
    """One over the root mean square of each tapped layer's states, `[taps * hidden]`, from some `[tokens, width]`.

    The first tokens of a text have states hundreds of times larger than all others: medians over tokens do not mind.
    """
    everything = np.concatenate(states)
    taps = everything.shape[-1] // hidden
    sizes = np.sqrt(np.square(widen(everything).reshape(-1, taps, hidden)).mean(-1))
    return np.repeat(1.0 / np.median(sizes, 0), hidden).astype(np.float32)
