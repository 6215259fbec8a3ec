"""How long a context is, told where something tells it and left open where nothing does."""

import json
from pathlib import Path

import pytest

from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.events import GenerationFinished
from mlx_spec.models.loading import load_pair
from mlx_spec.server.answers.card import model_card
from tests.models.test_loading import change_config


def without(path: Path, name: str) -> None:
    fields = json.loads(path.read_text())
    del fields[name]
    path.write_text(json.dumps(fields))


def test_yarn_stretches_the_context(folder: Path) -> None:
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
    change_config(folder, max_position_embeddings=64, rope_scaling=yarn)
    assert load_pair(str(folder)).context_length == 256


def test_where_nothing_tells_the_context_it_is_null_and_answers_go_on(folder: Path) -> None:
    without(folder / "config.json", "max_position_embeddings")
    without(folder / "tokenizer_config.json", "model_max_length")
    pair = load_pair(str(folder))
    assert pair.context_length is None
    assert json.loads(json.dumps(model_card("m", 0, pair.context_length, None, None)))["context_length"] is None
    (*_, end) = SpeculativeDecoder(pair, drafter="none").stream(pair.encode("the"), max_tokens=3)
    assert isinstance(end, GenerationFinished)
    assert len(end.token_ids) <= 3


@pytest.mark.parametrize("limit", [77, 10**30])
def test_the_tokenizers_limit_counts_where_it_is_one(folder: Path, limit: int) -> None:
    without(folder / "config.json", "max_position_embeddings")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": limit}))
    assert load_pair(str(folder)).context_length == (77 if limit == 77 else None)
