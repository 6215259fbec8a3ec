"""A draft that scores only some tokens: the same logits for them, none for the others, and no other words."""

import json
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx_lm.generate import generate_step, speculative_generate_step
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.models.llama import Model, ModelArgs

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.decoding.cache.passes.compiled import compiled_passes
from mlx_spec.errors import CorruptModelError
from mlx_spec.models.narrow_head import FILE, NarrowHead, narrowed
from tests.tiny import TINY_VOCAB, pair_of

TOKENS = sorted({3, 5, *range(20, 200, 2), 258})


def tied_llama(seed: int) -> Model:
    args = ModelArgs(
        model_type="llama",
        hidden_size=64,
        num_hidden_layers=2,
        intermediate_size=64,
        num_attention_heads=4,
        num_key_value_heads=2,
        rms_norm_eps=1e-5,
        vocab_size=TINY_VOCAB,
        tie_word_embeddings=True,
    )
    mx.random.seed(seed)
    model = Model(args)
    model.model.norm.weight = mx.full((64,), 3.0)
    mx.eval(model.parameters())
    return model


@pytest.mark.parametrize("quantised", [False, True])
def test_the_logits_are_the_models_own_or_nothing(quantised: bool) -> None:
    model = tied_llama(0)
    if quantised:
        nn.quantize(model, group_size=32, bits=8)
    narrow = NarrowHead(model, TOKENS)
    inputs = mx.array([[1, 2, 3, 4]])
    logits, expected = np.array(narrow(inputs)), np.array(model(inputs))
    others = np.setdiff1d(np.arange(TINY_VOCAB), TOKENS)
    np.testing.assert_allclose(logits[..., TOKENS], expected[..., TOKENS], atol=1e-4)
    assert logits.shape == expected.shape
    assert np.isneginf(logits[..., others]).all()


@pytest.mark.parametrize("rule", ["coupled", "token", "block"])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_it_drafts_and_changes_no_word(temperature: float, rule: str) -> None:
    target = tied_llama(1)
    pair = pair_of(target, NarrowHead(target, TOKENS))
    config = SpeculativeConfig(lookahead=4, adaptive_lookahead=False, acceptance=rule, acceptance_threshold=0.0)
    decoder = SpeculativeDecoder(pair, config, drafter="model")
    params = SamplingParams(temperature=temperature, seed=4, repetition_penalty=1.1, frequency_penalty=0.2)
    *_, end = decoder.stream([1, 2, 3], params, 40)
    assert 0 < end.stats.accepted_tokens < end.stats.tested_tokens
    if rule == "coupled" or temperature == 0:
        *_, plain = decoder.stream([1, 2, 3], params, 40, drafter="none")
        assert end.token_ids == plain.token_ids
    passes = compiled_passes(pair.draft, make_prompt_cache(pair.draft))
    assert passes is not None
    assert not passes.falls_back()


def test_mlx_lm_can_draft_with_it_too() -> None:
    target = tied_llama(2)
    draft = NarrowHead(target, TOKENS)
    plain = [token for token, _ in generate_step(mx.array([1, 2, 3]), target, max_tokens=20)]
    theirs = [token for token, *_ in speculative_generate_step(mx.array([1, 2, 3]), target, draft, max_tokens=20)]
    assert theirs == plain


def test_a_folder_says_whether_its_draft_is_narrow(tmp_path: Path) -> None:
    model = tied_llama(3)
    assert narrowed(model, tmp_path) is model
    (tmp_path / FILE).write_text(json.dumps({"token_ids": TOKENS}))
    assert isinstance(narrowed(model, tmp_path), NarrowHead)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"token_ids": []}', '{"token_ids": [1, 1]}', '{"token_ids": [900]}', '{"token_ids": ["a"]}']
)
def test_a_list_that_makes_no_sense_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(CorruptModelError, match="does not name tokens of the draft"):
        narrowed(tied_llama(3), tmp_path)
