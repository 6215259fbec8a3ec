"""Let the target write the corpus: many dialogues side by side, each refilled as soon as it ends.

Knows the loop only. What runs the target is a `Stepper`, in MLX (`on_mlx.stepper`) or in PyTorch (`on_torch.stepper`).
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mlx_spec.training.answers.corpus import Sample, count_stored, shard_path, to_sample, write_shard
from mlx_spec.training.answers.dialogue import Dialogue
from mlx_spec.training.answers.prompts import questions
from mlx_spec.training.answers.templates import ChatFormat
from mlx_spec.training.recipe import Recipe


class Stepper(Protocol):
    """The target, one token a row and step, over a cache of fixed size."""

    def step(
        self, ids: NDArray[np.int64], positions: NDArray[np.int64], temperatures: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
        """Feed ids `[rows]` at their positions `[rows]`; give the next ids `[rows]`, sampled at temperatures
        `[rows]`, and the final hidden states `[rows, hidden]` they were sampled from, as bfloat16 bits."""


def dialogues(recipe: Recipe, chat: ChatFormat, seed: int) -> Iterator[Dialogue]:
    """Endless fresh dialogues: a share asked by the target itself, the others with questions of ours."""
    rng, ours = random.Random(seed), questions(seed)
    while True:
        own_question = rng.random() < recipe.self_asked_share
        yield Dialogue(
            template=chat.template,
            limits=recipe.limits,
            temperature=rng.choices(recipe.temperatures, recipe.temperature_weights)[0],
            question_ids=() if own_question else chat.encode(next(ours)),
            turns=2 if rng.random() < recipe.second_turn_share else 1,
        )


def sample_dialogues(stepper: Stepper, source: Iterator[Dialogue], rows: int) -> Iterator[Sample]:
    """Finished dialogues, in the order they end."""
    live = [next(source) for _ in range(rows)]
    positions = np.zeros(rows, np.int64)
    while True:
        ids = np.asarray([dialogue.ids[at] for dialogue, at in zip(live, positions, strict=True)], np.int64)
        ahead = [at + 1 == len(dialogue.ids) for dialogue, at in zip(live, positions, strict=True)]
        temperatures = [d.step_temperature if last else 0.0 for d, last in zip(live, ahead, strict=True)]
        sampled, hidden = stepper.step(ids, positions, np.asarray(temperatures, np.float32))
        positions += 1
        for row, dialogue in enumerate(live):
            if ahead[row]:
                dialogue.advance(int(sampled[row]), hidden[row])
            if dialogue.phase == "finished":
                if any(dialogue.answer):
                    yield to_sample(dialogue)
                live[row] = next(source)
                # Every dialogue has the same opening, and the row's cache still holds it.
                positions[row] = len(dialogue.template.opening) - 1


def sample_corpus(
    recipe: Recipe,
    chat: ChatFormat,
    make_stepper: Callable[[int], Stepper],
    folder: Path,
    goal: int,
    report: Callable[[int], None],
) -> None:
    """Fill a folder with shards until it holds `goal` answer tokens; shards that exist are kept.

    `make_stepper(seed)` is called only when something is missing. `report` gets the number of answer tokens so far.
    """
    total, index = 0, 0
    while shard_path(folder, index).exists() and total < goal:
        total += count_stored([shard_path(folder, index)])
        index += 1
        report(total)
    if total >= goal:
        return
    folder.mkdir(parents=True, exist_ok=True)
    seed = recipe.seed + 1000 * index
    stream = sample_dialogues(make_stepper(seed), dialogues(recipe, chat, seed), recipe.rows)
    while total < goal:
        shard: list[Sample] = []
        written = 0
        while written < min(recipe.shard_tokens, goal - total):
            shard.append(next(stream))
            written += len(shard[-1].hidden)
            report(total + written)
        write_shard(shard_path(folder, index), shard)
        total, index = total + written, index + 1
