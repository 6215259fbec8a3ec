"""Dialogues, shards, and the sampler that fills them."""

import shutil
from dataclasses import replace
from itertools import chain
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from mlx_spec.errors import TrainingError
from mlx_spec.training.answers.corpus import (
    Corpus,
    Sample,
    count_stored,
    frequent_tokens,
    read_corpus,
    read_shard,
    shard_paths,
)
from mlx_spec.training.answers.dialogue import Dialogue, Limits, Template
from mlx_spec.training.answers.prompts import questions
from mlx_spec.training.answers.templates import chat_format
from mlx_spec.training.batches import epochs, to_batch
from mlx_spec.training.evaluate import widen
from mlx_spec.training.recipe import Recipe
from mlx_spec.training.target import Target
from tests.training.conftest import fill

TEMPLATE = Template(opening=(1, 7), reply=(2, 8), again=(9, 1), stop_id=2)
STATE = np.zeros(4, np.uint16)


def test_a_dialogue_goes_through_question_answer_and_second_turn() -> None:
    dialogue = Dialogue(TEMPLATE, Limits(question=4, answer=4, total=40), 0.7, question_ids=(), turns=2)
    for token in (5, 6, 2, 10, 2, 4, 2, 11, 12, 13, 14):
        assert dialogue.phase != "finished"
        dialogue.advance(token, STATE)
    assert dialogue.phase == "finished"
    assert dialogue.ids == [1, 7, 5, 6, 2, 8, 10, 2, 9, 1, 4, 2, 8, 11, 12, 13, 14]
    assert [i for i, own in enumerate(dialogue.answer) if own] == [6, 7, 13, 14, 15, 16]
    assert len(dialogue.hidden) == 6


def test_a_question_of_ours_is_laid_down_whole_and_cut_at_its_limit() -> None:
    dialogue = Dialogue(TEMPLATE, Limits(question=3, answer=4, total=40), 0.0, question_ids=(3, 4, 5, 6))
    assert dialogue.ids == [1, 7, 3, 4, 5, 2, 8]
    assert dialogue.step_temperature == 0.0
    assert not any(dialogue.answer)


def test_the_template_pieces_lay_out_what_the_template_renders(target: Target) -> None:
    tokenizer = target.tokenizer
    chat = chat_format(tokenizer)
    pieces = chat.template
    messages = [
        {"role": "user", "content": "ab"},
        {"role": "assistant", "content": "cd"},
        {"role": "user", "content": "ef"},
    ]
    whole = tokenizer.apply_chat_template(messages, add_generation_prompt=True)
    laid = [*pieces.opening, *chat.encode("ab"), *pieces.reply, *chat.encode("cd"), pieces.stop_id, *pieces.again]
    assert [*laid, *chat.encode("ef"), *pieces.reply] == list(whole)


def test_questions_are_reproducible_and_varied() -> None:
    first, second = questions(4), questions(4)
    drawn = [next(first) for _ in range(300)]
    assert drawn == [next(second) for _ in range(300)]
    assert len(set(drawn)) > 290
    assert not any("{" in question and "}" in question for question in drawn)


def test_hidden_states_are_those_of_the_target(target: Target, recipe: Recipe, sampled_folder: Path) -> None:
    """What a row of the sampler saw, step by step among others, is what one forward over the dialogue gives."""
    for sample in read_shard(shard_paths(sampled_folder)[-1])[:5]:
        whole = np.array(target.model.model(mx.array(sample.ids)[None])[0])
        positions = np.flatnonzero(sample.answer) - 1
        assert np.allclose(widen(sample.hidden), whole[positions], rtol=0.02, atol=0.02)
        if sample.temperature == 0.0:
            best = (whole[positions] @ target.weights["model.embed_tokens.weight"].T).argmax(-1)
            assert (best == sample.ids[positions + 1]).mean() > 0.95


def test_resuming_keeps_the_shards_that_exist(target: Target, recipe: Recipe, tmp_path: Path) -> None:
    assert fill(replace(recipe, answer_tokens=400), target, tmp_path) == [0]
    kept = {path: path.read_bytes() for path in shard_paths(tmp_path)}
    assert fill(recipe, target, tmp_path) == [1000 * len(kept)]
    assert len(shard_paths(tmp_path)) > len(kept)
    assert all(path.read_bytes() == content for path, content in kept.items())
    assert fill(recipe, target, tmp_path) == []
    assert count_stored(shard_paths(tmp_path)) >= recipe.answer_tokens


def test_no_question_is_on_both_sides_of_the_split(target: Target, recipe: Recipe, sampled_folder: Path) -> None:
    training, held_out = read_corpus(sampled_folder)

    def first_question(ids: np.ndarray, answer: np.ndarray) -> bytes:
        return ids[: int(np.argmax(answer))].tobytes()

    sides = [{first_question(s.ids, s.answer) for s in side} for side in (training, held_out)]
    assert all(sides)
    assert not sides[0] & sides[1]


def test_batches_hold_every_answer_once(target: Target, recipe: Recipe, sampled_folder: Path) -> None:
    samples = read_shard(shard_paths(sampled_folder)[0])
    batch = to_batch(samples)
    assert (batch.answer_ids == np.concatenate([s.ids[s.answer] for s in samples])).all()


def test_the_frequent_tokens_are_those_of_the_answers(sampled_folder: Path) -> None:
    training, _ = read_corpus(sampled_folder)
    said = np.concatenate([sample.ids[sample.answer] for sample in training])
    counts = np.bincount(said)
    kept = frequent_tokens(training, 10)
    assert list(kept) == sorted(kept)
    assert len(kept) == 10
    assert counts[kept].min() >= np.delete(counts, kept).max()
    assert len(frequent_tokens(training, 10_000)) == len(set(said.tolist()))


def test_of_the_frequent_tokens_the_most_frequent_come_in_the_order_of_their_ids() -> None:
    """Ids 0, 2, 3 and 4 are said 5, 9, 1 and 7 times; 1 only in a question."""
    ids = np.repeat([0, 1, 2, 3, 4], [5, 20, 9, 1, 7]).astype(np.int32)
    sample = Sample(ids, ids != 1, np.zeros((22, 4), np.uint16), 0.0, held_out=False)
    assert frequent_tokens([sample], 3).tolist() == [0, 2, 4]


def test_what_others_sample_meanwhile_joins_at_the_next_epoch(sampled_folder: Path) -> None:
    training, _ = read_corpus(sampled_folder)
    there = training[:4]
    batches = epochs(lambda: list(there), 100_000, 0)
    assert len(next(batches).ids) == 4
    there.extend(training[4:9])
    assert len(next(batches).ids) == 9


def test_a_corpus_finds_new_shards_and_reads_none_twice(sampled_folder: Path, tmp_path: Path) -> None:
    first, *others = shard_paths(sampled_folder)
    shutil.copy(first, tmp_path)
    corpus = Corpus(tmp_path)
    before = list(chain(*corpus.read()))
    for path in others:
        shutil.copy(path, tmp_path)
    after = list(chain(*corpus.read()))
    assert len(after) == len(list(chain(*read_corpus(sampled_folder))))
    assert {id(sample) for sample in before} <= {id(sample) for sample in after}


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    path = tmp_path / "shard-0000.npz"
    path.write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(TrainingError, match="shard-0000"):
        read_shard(path)
    with pytest.raises(TrainingError, match="too few"):
        read_corpus(tmp_path / "empty")
