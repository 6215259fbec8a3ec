"""What a pair's drafts usually bring: measured as decoding measures it, on questions of the held-out side."""

import json
from itertools import islice
from pathlib import Path

from typer.testing import CliRunner

from mlx_spec import SamplingParams
from mlx_spec.cli.commands.train.app import app
from mlx_spec.lookahead.experience import ExperienceFile
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.loading import load_pair
from mlx_spec.training.answers.corpus import is_held_out
from mlx_spec.training.answers.prompts import questions
from mlx_spec.training.answers.templates import chat_format
from mlx_spec.training.experience import held_out_questions, measure_experience


def test_the_questions_are_those_that_training_held_out(target_folder: ModelFolder) -> None:
    tokenizer = load_pair(str(target_folder.path)).tokenizer
    chat = chat_format(tokenizer)
    found = held_out_questions(tokenizer, 5, 3)
    opening = len(chat.template.opening)
    assert all(is_held_out(tuple(ids[opening:])) for ids in found)
    reply = len(chat.template.reply)
    asked = [tuple(ids[opening : len(ids) - reply]) for ids in found]
    assert set(asked) < {chat.encode(question) for question in islice(questions(5), 2000)}


def test_a_draft_that_is_its_target_is_always_right(target_folder: ModelFolder) -> None:
    pair = load_pair(str(target_folder.path), str(target_folder.path))
    prompts = held_out_questions(pair.tokenizer, 5, 3)
    rates = measure_experience(pair, prompts, SamplingParams(temperature=0.0), 40).accepted["model/0"]
    assert rates[0][0] == 1.0
    assert rates[0][1] == 1.0
    assert rates[0][2] == 3


def test_the_command_writes_what_a_decoder_reads(
    target_folder: ModelFolder, tmp_path: Path, lookahead_home: Path
) -> None:
    out = tmp_path / "experience.json"
    models = ["--target", str(target_folder.path), "--draft", str(target_folder.path)]
    options = ["--questions", "2", "--answer-tokens", "24", "--out", str(out)]
    done = CliRunner().invoke(app, ["experience", *models, *options])
    assert done.exit_code == 0, done.output
    assert set(json.loads(out.read_text())) == {"greedy", "sampled"}
    for greedy in (True, False):
        assert ExperienceFile("a", "b", shipped=out).read(greedy=greedy).accepted["model/0"]
