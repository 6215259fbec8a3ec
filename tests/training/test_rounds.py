"""Tokens a round on held-out questions: counted as decoding counts them, the same questions for each shape."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mlx_spec import SamplingParams, SpeculativeDecoder
from mlx_spec.cli.commands.train.app import app
from mlx_spec.errors import ConfigError
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.loading import ModelPair, load_pair
from mlx_spec.training.answers.corpus import read_corpus
from mlx_spec.training.rounds import measure_rounds, shape_settings

PARAMS = SamplingParams(temperature=0.7, seed=3)


@pytest.fixture
def own_pair(target_folder: ModelFolder) -> ModelPair:
    """A target that drafts for itself: every token stands."""
    return load_pair(str(target_folder.path), str(target_folder.path))


def test_a_draft_that_is_its_target_brings_the_whole_chain(own_pair: ModelPair, sampled_folder: Path) -> None:
    _, held_out = read_corpus(sampled_folder)
    chain, tree = measure_rounds(own_pair, "model", ("3", "2x2"), held_out, 4, PARAMS, 17)
    assert chain.shape == "3"
    assert chain.answers == tree.answers == 4
    assert chain.tokens == tree.tokens, "the words are the same whatever is drafted"
    most = chain.tokens / chain.rounds
    assert most == chain.tokens_a_round.mean > tree.tokens_a_round.mean > 2.0
    assert most <= 4.0


def test_the_numbers_are_those_of_the_decoder(own_pair: ModelPair, sampled_folder: Path) -> None:
    _, held_out = read_corpus(sampled_folder)
    [measured] = measure_rounds(own_pair, "ngram", ("4",), held_out, 3, PARAMS, 20)
    tokens = rounds = 0
    decoder = SpeculativeDecoder(own_pair, shape_settings("4"), drafter="ngram")
    for index in np.random.default_rng(PARAMS.seed).permutation(len(held_out))[:3]:
        sample = held_out[index]
        assert not sample.answer[: len(sample.question)].any()
        assert sample.answer[len(sample.question)]
        *_, end = decoder.stream(sample.question.tolist(), PARAMS, 20)
        tokens += end.stats.total_tokens_generated
        rounds += end.stats.target_forward_passes
    assert (measured.tokens, measured.rounds) == (tokens, rounds)


@pytest.mark.parametrize("shape", ["off", "x", "40", "4y2"])
def test_what_is_no_shape_is_refused(shape: str) -> None:
    with pytest.raises(ConfigError):
        shape_settings(shape)


def test_the_command_prints_lines_or_one_object(target_folder: ModelFolder, sampled_folder: Path) -> None:
    common = [
        "rounds",
        "--target",
        str(target_folder.path),
        "--draft",
        str(target_folder.path),
        "--corpus",
        str(sampled_folder),
    ]
    options = ["--drafter", "model", "--shapes", "2, 2x2:3", "--questions", "2", "--answer-tokens", "8"]
    lines = CliRunner().invoke(app, [*common, *options])
    assert lines.exit_code == 0, lines.output
    assert [line.split(":")[0] for line in lines.stdout.splitlines()] == ["2", "2x2"]
    done = CliRunner().invoke(app, [*common, *options, "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert [one["shape"] for one in report["rounds"]] == ["2", "2x2:3"]
    assert report["rounds"][0]["tokens_a_round"][0] > 1.0


def test_the_command_line_offers_every_training_command() -> None:
    offered = subprocess.run([sys.executable, "-m", "mlx_spec.cli", "train", "--help"], capture_output=True, text=True)
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        assert f" {name} " in offered.stdout, name
