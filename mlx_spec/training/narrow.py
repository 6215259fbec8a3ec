"""Narrow a draft's head to the tokens that its target says often (FR-Spec, Zhao et al. 2025): less to read a step."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlx_spec.errors import ConfigError, StorageError
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.narrow_head import FILE
from mlx_spec.models.weights import load_weights
from mlx_spec.training.answers.corpus import frequent_tokens, read_corpus
from mlx_spec.training.answers.held_out import pick_held_out
from mlx_spec.training.distill import measure
from mlx_spec.training.evaluate import Agreement
from mlx_spec.training.recipe import Recipe
from mlx_spec.training.target import load_target


@dataclass(frozen=True, slots=True)
class Narrowed:
    """How many tokens the head keeps, their share of the held-out answers, and the draft's agreement before and
    after."""

    tokens: int
    coverage: float
    before: Agreement
    after: Agreement


def narrow(target_folder: ModelFolder, draft: Path, corpus: Path, count: int) -> Narrowed:
    """Write `draft_vocabulary.json` into a draft's folder: the `count` tokens most frequent in the training answers.

    Raises ConfigError, TrainingError, ModelError, StorageError.
    """
    if count < 1:
        raise ConfigError("tokens", count, "at least 1")
    target = load_target(target_folder)
    model = load_weights(ModelFolder.at(draft))
    training, held_out = read_corpus(corpus)
    measured = pick_held_out(held_out, Recipe().held_out_tokens)
    kept = frequent_tokens(training, count)
    agreements = [measure(target, model, measured, only) for only in (None, kept)]
    said = np.concatenate([sample.ids[sample.answer] for sample in measured])
    try:
        (draft / FILE).write_text(json.dumps({"token_ids": kept.tolist()}, separators=(",", ":")) + "\n")
    except OSError as error:
        raise StorageError(f"The list of tokens cannot be written to {draft}: {error.strerror}.") from error
    return Narrowed(len(kept), float(np.isin(said, kept).mean()), *agreements)
