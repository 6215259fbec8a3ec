"""The recipe for heads on a tiny target, and its parts against the drafter and naive formulas."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import KVCache
from typer.testing import CliRunner

from mlx_spec.cli.commands.train.app import app
from mlx_spec.errors import ConfigError, ModelNotFoundError, TrainingError
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.heads.eagle import Pairs
from mlx_spec.models.heads.layer import OwnRows
from mlx_spec.models.heads.loading import load_head
from mlx_spec.training.answers.corpus import Sample, read_corpus
from mlx_spec.training.answers.features import FeatureStore
from mlx_spec.training.distill import Trainer
from mlx_spec.training.eagle import EagleWatcher, head_config, make_trainer, prepare, train_eagle
from mlx_spec.training.heads.batches import eagle_batches, read_batch
from mlx_spec.training.heads.chains import ChainAgreement, walk
from mlx_spec.training.heads.initial import initial_eagle
from mlx_spec.training.heads.recipe import EagleRecipe
from mlx_spec.training.heads.start import read_start
from mlx_spec.training.on_mlx.eagle import chain_loss, rollout
from mlx_spec.training.on_mlx.eagle_trainer import MlxEagleTrainer, MlxFeatures, head_of
from mlx_spec.training.progress import Progress
from mlx_spec.training.rounding import rounding
from mlx_spec.training.target import Target
from tests.training.test_distill import BACKENDS, clock_of

TAPS = (0, 1)
RECIPE = EagleRecipe(
    answer_tokens=1800,
    minutes=1.0,
    taps=TAPS,
    draft_tokens=64,
    steps=3,
    batch_tokens=512,
    matrix_rate=2e-2,
    other_rate=1e-2,
    held_out_tokens=200,
    watched_tokens=60,
    checks=4,
    layer_bits=8,
    head_bits=8,
)


class Seen(EagleWatcher):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.shares: list[float] = []
        self.agreements: list[ChainAgreement] = []

    def stepped(self, progress: Progress) -> None:
        self.steps.append(progress.step)
        self.shares.append(progress.share)

    def reached(self, progress: Progress, agreement: ChainAgreement) -> None:
        self.agreements.append(agreement)


@pytest.mark.parametrize("trainer", BACKENDS)
def test_the_recipe_makes_a_head_that_agrees_more_and_is_loaded_as_published(
    trainer: Trainer, target_folder: ModelFolder, target: Target, sampled_folder: Path, tmp_path: Path
) -> None:
    watcher, out = Seen(), tmp_path / "head"
    result = train_eagle(RECIPE, target_folder, out, sampled_folder, trainer, watcher, clock=clock_of(30))
    assert watcher.steps == list(range(1, 30))
    assert len(watcher.agreements) == 3
    assert result.exported.overlap[0] > watcher.agreements[0].overlap[0] > 0
    assert result.exported.answers >= RECIPE.held_out_tokens
    assert len(result.exported.top1) == RECIPE.steps
    assert result.trained.overlap == pytest.approx(result.exported.overlap, abs=0.02)
    assert result.size_bytes == sum(path.stat().st_size for path in out.iterdir())

    assert ModelFolder.at(out).head_kind == "eagle3"
    assert load_head(out, "eagle3", target.model, "tiny").taps == TAPS
    config = json.loads((out / "config.json").read_text())
    assert config["draft_vocab_size"] == RECIPE.draft_tokens


@pytest.mark.parametrize("trainer", BACKENDS)
def test_the_last_steps_see_the_head_as_it_will_be_exported(
    trainer: Trainer, target_folder: ModelFolder, sampled_folder: Path, tmp_path: Path
) -> None:
    """Coarsely rounded, a head that learnt with that is better than one that did not, from the same batches."""
    coarse, reached = replace(RECIPE, layer_bits=4, head_bits=4), {}
    for share in (0.4, 1.0):
        recipe, out = replace(coarse, rounded_from=share), tmp_path / str(share)
        reached[share] = train_eagle(
            recipe, target_folder, out, sampled_folder, trainer, Seen(), clock=clock_of(60)
        ).exported.overlap
    assert reached[0.4][0] > reached[1.0][0]


def test_a_run_that_was_stopped_goes_on_from_its_last_check(
    target_folder: ModelFolder, sampled_folder: Path, tmp_path: Path
) -> None:
    class StoppedError(Exception):
        pass

    class Stopping(Seen):
        def stepped(self, progress: Progress) -> None:
            super().stepped(progress)
            if progress.share > 0.6:
                raise StoppedError

    out, first, second = tmp_path / "head", Stopping(), Seen()
    with pytest.raises(StoppedError):
        train_eagle(RECIPE, target_folder, out, sampled_folder, "mlx", first, clock=clock_of(12))
    train_eagle(RECIPE, target_folder, out, sampled_folder, "mlx", second, clock=clock_of(12))
    check = next(step for step, share in zip(first.steps, first.shares, strict=True) if share >= 0.5)
    assert second.steps[0] == check + 1
    assert second.shares[0] == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("trainer", BACKENDS)
def test_a_head_is_trained_on_with_its_own_tokens_and_layers(
    trainer: Trainer, target_folder: ModelFolder, target: Target, sampled_folder: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    before = train_eagle(RECIPE, target_folder, first, sampled_folder, trainer, Seen(), clock=clock_of(30)).exported
    other, seen = replace(RECIPE, taps=(), draft_tokens=40, seed=1), Seen()
    after = train_eagle(other, target_folder, second, sampled_folder, trainer, seen, first, clock_of(30)).exported
    assert seen.agreements[0].overlap[0] > 0.9 * before.overlap[0]
    assert after.overlap[0] > before.overlap[0]
    heads = [read_start(folder, target) for folder in (first, second)]
    assert heads[0].taps == heads[1].taps == TAPS
    assert heads[0].token_ids.tolist() == heads[1].token_ids.tolist()


def test_going_on_begins_with_the_weights_that_were_there(
    target_folder: ModelFolder, target: Target, sampled_folder: Path, tmp_path: Path
) -> None:
    train_eagle(RECIPE, target_folder, tmp_path / "head", sampled_folder, "mlx", Seen(), clock=clock_of(4))
    start = read_start(tmp_path / "head", target)
    setup = prepare(RECIPE, target, sampled_folder, "mlx", start)
    begun = make_trainer(setup, "mlx").train(iter(()), print, clock_of(1))
    assert begun.keys() == start.weights.keys()
    for name, weight in begun.items():
        assert np.allclose(weight, start.weights[name], atol=1e-6), name
    assert setup.recipe.steps_at(0.0) == RECIPE.steps


def test_what_training_cannot_go_on_from_is_refused(
    target_folder: ModelFolder, target: Target, sampled_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelNotFoundError, match="no head"):
        read_start(tmp_path, target)
    head = tmp_path / "head"
    train_eagle(RECIPE, target_folder, head, sampled_folder, "mlx", Seen(), clock=clock_of(2))
    config = json.loads((head / "config.json").read_text())
    (head / "config.json").write_text(json.dumps({**config, "norm_before_residual": True}))
    with pytest.raises(TrainingError, match="paper's form"):
        read_start(head, target)
    (head / "config.json").write_text(json.dumps(config))
    weights: Any = mx.load(str(head / "model.safetensors"))
    weights["embed_tokens.weight"] = mx.zeros(target.weights["model.embed_tokens.weight"].shape)
    mx.save_safetensors(str(head / "model.safetensors"), weights)
    with pytest.raises(TrainingError, match="paper's form"):
        read_start(head, target)
    asked = [
        "eagle",
        "--target",
        str(target_folder.path),
        "--out",
        str(tmp_path / "on"),
        "--start",
        str(head),
        "--taps",
        "0",
    ]
    refused = CliRunner().invoke(app, asked)
    assert refused.exit_code == 2
    assert "--taps" in refused.output


@pytest.fixture(scope="module")
def samples(sampled_folder: Path) -> list[Sample]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlx_spec.training.answers.corpus.HELD_OUT_OF", 4)
        return read_corpus(sampled_folder)[0]


def test_the_training_time_test_is_what_the_drafter_does(target: Target, samples: list[Sample]) -> None:
    """Place i of step s: true states up to i, then s steps on the head's own states, with the text's own tokens."""
    config, token_ids = head_config(target), np.arange(64)
    head = head_of(config, target.model, TAPS, len(token_ids))
    weights = initial_eagle(target.weights, 2, len(TAPS), token_ids)
    head.load_weights([(name, mx.array(weight)) for name, weight in weights.items()])
    ids = samples[0].ids[:20]
    features = mx.array(MlxFeatures(target.model, TAPS)(ids[None])).view(mx.bfloat16).astype(mx.float32)
    embedding = mx.array(target.weights["model.embed_tokens.weight"])
    steps = rollout(head, embedding, mx.array(ids[None]), features, 3)
    for place in (0, 7, 14):
        cache = KVCache()
        behind, before = mx.array(ids[1 : place + 2]), head.fuse(features[0, : place + 1])
        (states,) = head.step([Pairs(behind, before, OwnRows(place + 1, cache, 0, "causal"))])
        state = states[-1:]
        for step in range(3):
            assert mx.abs(head.norm(state)[0] - steps[step][place]).max().item() < 1e-4
            token = mx.array(ids[place + step + 2 : place + step + 3])
            (state,) = head.step([Pairs(token, state, OwnRows(1, cache, cache.offset))])


def test_the_loss_is_the_sum_of_its_steps_written_out(target: Target, samples: list[Sample], tmp_path: Path) -> None:
    config, rng = head_config(target), np.random.default_rng(0)
    token_ids = np.sort(rng.choice(259, 100, replace=False))
    head = head_of(config, target.model, TAPS, len(token_ids))
    weights = initial_eagle(target.weights, 2, len(TAPS), token_ids)
    head.load_weights([(name, mx.array(weight)) for name, weight in weights.items()])
    store = FeatureStore(samples, TAPS, 64, tmp_path, MlxFeatures(target.model, TAPS))
    batch = read_batch(samples, store, [0, 1, 2])
    embedding = target.weights["model.embed_tokens.weight"]
    known = np.isin(np.arange(259), token_ids)
    loss, overlap = chain_loss(
        head,
        mx.array(embedding),
        mx.array(embedding[token_ids]),
        mx.array(known.astype(np.float32)),
        batch,
        steps=2,
        decay=0.5,
        variation=0.25,
    )
    features = mx.array(batch.features).view(mx.bfloat16).astype(mx.float32)
    states = rollout(head, mx.array(embedding), mx.array(batch.ids), features, 2)
    hidden = np.array(mx.array(batch.hidden).view(mx.bfloat16).astype(mx.float32), np.float64)
    total, common, count = 0.0, 0.0, 0
    for position, state in zip(batch.positions.tolist(), hidden, strict=True):
        if not known[batch.ids.reshape(-1)[position + 1]]:
            continue
        count += 1
        p = softmax(embedding[token_ids] @ state)
        for step in range(2):
            q = softmax(weights["lm_head.weight"] @ np.array(states[step][position - step - 1], np.float64))
            total += 0.5**step * (0.75 * (p * np.log(p / q)).sum() + 0.25 * np.abs(p - q).sum())
            common += np.minimum(p, q).sum() if step == 0 else 0.0
    assert 0 < count < len(batch.positions)
    assert loss.item() == pytest.approx(total / count, rel=1e-3)
    assert overlap.item() == pytest.approx(common / count, rel=1e-3)


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def test_a_round_is_walked_to_the_first_miss_and_one_token_further() -> None:
    text = np.array([[1, 0, 1, 1, 1, 0], [0, 1, 1, 1, 0, 1]], np.bool_)  # [step, token]
    # Round 1: token 0 hit, token 1 missed as second: tokens 0, 1. Round 2: 2 and 3 hit, 4 is the target's: 2, 3, 4.
    # Round 3: token 5 missed.
    assert walk([text]) == 6 / 3
    assert walk([np.ones((2, 6), np.bool_)]) == 6 / 2
    assert walk([np.zeros((2, 6), np.bool_)]) == 1.0


def test_states_are_computed_once_and_read_back(target: Target, samples: list[Sample], tmp_path: Path) -> None:
    calls = itertools.count()
    compute = MlxFeatures(target.model, TAPS)

    def counted(ids: Any) -> Any:
        next(calls)
        return compute(ids)

    store = FeatureStore(samples, TAPS, 64, tmp_path, counted)
    first = read_batch(samples, store, [3, 1])
    again = read_batch(samples, FeatureStore(samples, TAPS, 64, tmp_path, counted), [1, 3])
    assert next(calls) == 1
    for row, other in ((0, 1), (1, 0)):
        length = len(samples[[3, 1][row]].ids)
        assert np.array_equal(first.features[row, :length], again.features[other, :length])
    assert FeatureStore(samples, TAPS, 64, tmp_path, counted).ready().tolist() == [1, 3]
    assert not len(FeatureStore(samples, (0, 0), 64, tmp_path, counted).ready())


def test_only_what_is_ready_is_learnt_from_where_that_is_asked(
    target: Target, samples: list[Sample], tmp_path: Path
) -> None:
    store = FeatureStore(samples, TAPS, 64, tmp_path, MlxFeatures(target.model, TAPS))
    with pytest.raises(TrainingError, match="train states"):
        next(eagle_batches(samples, store, 256, 0, only_ready=True))
    store.fill([2, 5])
    batch = next(eagle_batches(samples, store, 10_000, 0, only_ready=True))
    assert sorted(batch.ids.shape[:1]) == [2]
    everything = next(eagle_batches(samples, store, 100_000, 0))
    assert everything.ids.shape[0] == len(samples)


def test_the_first_states_of_a_text_do_not_set_the_scale(
    target: Target, target_folder: ModelFolder, sampled_folder: Path
) -> None:
    setup = prepare(RECIPE, target, sampled_folder, "mlx")
    assert setup.token_ids.shape == (64,)
    assert setup.taps == TAPS
    assert sum(len(states) for states in setup.states.values()) == sum(len(s.ids) for s in setup.watched)


def test_the_trainer_gives_weights_for_states_as_they_are(target: Target) -> None:
    config, token_ids = head_config(target), np.arange(64)
    weights = initial_eagle(target.weights, 2, 2, token_ids)
    scales = np.linspace(0.5, 2.0, 64).astype(np.float32)
    head = head_of(config, target.model, TAPS, 64)
    embedding, how = target.weights["model.embed_tokens.weight"], rounding(config, 8, 8, "lm_head.weight")
    trainer = MlxEagleTrainer(RECIPE, head, weights, embedding, token_ids, scales, how)
    features = mx.random.normal((2, 64), key=mx.random.key(1))
    fused = head.fc(features)
    assert mx.abs(features @ mx.array(trainer.weights()["fc.weight"]).T - fused).max().item() < 1e-5


@pytest.mark.parametrize("field", ["steps", "minutes", "few_until", "rounded_from", "head_bits"])
def test_a_recipe_out_of_its_ranges_is_refused_by_name(field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        replace(EagleRecipe(), **{field: -1})


def test_the_command_trains_and_computes_states(
    target_folder: ModelFolder, sampled_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "head"
    common = ["--target", str(target_folder.path), "--out", str(out), "--corpus", str(sampled_folder), "--taps", "0,1"]
    done = CliRunner().invoke(app, ["states", *common])
    assert done.exit_code == 0, done.output
    assert "The states of" in done.output
    quick = ["--minutes", "0.02", "--draft-tokens", "64", "--answers", "1800", "--only-ready", "--json"]
    done = CliRunner().invoke(app, ["eagle", *common, *quick])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["size_bytes"] > 0
    assert 0.0 <= report["exported"]["top1"][0] <= 1.0
    bad = CliRunner().invoke(app, ["states", *common[:-1], "one"])
    assert bad.exit_code == 2
