"""The models that `bench --turns` shows what windows and states cost with are what they are said to be."""

import json
from pathlib import Path

import pytest

from mlx_spec.decoding.cache.cached_model import cached_model
from mlx_spec.models.loading import load_pair
from tests.bench.paired import small_models
from tests.tiny import TINY_VOCAB, byte_tokenizer


@pytest.mark.parametrize("name", small_models.RECIPES)
def test_a_text_can_be_begun_at_points_only_and_in_blocks_beside_them(name: str, tmp_path: Path) -> None:
    words = tmp_path / "words"
    byte_tokenizer()._tokenizer.save_pretrained(words)
    (words / "config.json").write_text(json.dumps({"vocab_size": TINY_VOCAB}))
    small_models.save_recipe(name, tmp_path / name, words)
    pair = load_pair(str(tmp_path / name), "none")
    cached = cached_model(pair.target, name, speculative=True)
    assert not cached.begins_anywhere
    cached.prefill([1, 2, 3])
    assert cached.cut_up([(0, 3)], goes_on=True)[0], "and its full attention in stretches"
    assert pair.encode_chat([{"role": "user", "content": "hello"}])
