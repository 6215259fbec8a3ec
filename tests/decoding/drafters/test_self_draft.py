"""The target drafts for itself with layers left out, and stays what it was."""

import mlx.core as mx
import pytest
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec.decoding.drafters.self_draft import kept_layers, without_layers
from mlx_spec.errors import UnsupportedModelError
from tests.decoding.drafters.published import target
from tests.zoo import ARCHITECTURES, zoo_model

SEVERAL_KINDS = (
    "mistral",
    "ministral3",
    "gemma3",
    "gpt_oss",
    "deepseek_v3",
    "deepseek_v32",
    "qwen3_next",
    "nemotron_h",
)
MIXED = ("recurrent_gemma", "lfm2", "llama4", "longcat_flash", "afm7")
COUNTING = ("mamba2", "falcon_h1", "baichuan_m1")
REFUSED = {*SEVERAL_KINDS, *MIXED, *COUNTING}
"""With layers of several kinds, or code that counts on each one's place."""


def test_half_of_the_layers_draft_and_both_ends_always() -> None:
    kept = kept_layers(30)
    assert len(kept) == 15
    assert kept[:2] == (0, 1)
    assert kept[-2:] == (28, 29)
    assert list(kept) == sorted(set(kept))
    assert kept_layers(2) == (0, 1)
    assert kept_layers(5) == (0, 1, 3, 4)


def test_the_smaller_model_is_the_target_without_those_layers() -> None:
    model, ids = target(), mx.array([[3, 1, 4, 1, 5]])
    before = model(ids)
    smaller = without_layers(model, (0, 2, 5))
    state = model.model.embed_tokens(ids)
    for index in (0, 2, 5):
        state = model.model.layers[index](state, "causal", None)
    expected = model.lm_head(model.model.norm(state))
    assert mx.abs(smaller(ids) - expected).max().item() < 1e-5
    assert len(make_prompt_cache(smaller)) == 3
    assert len(model.layers) == 6
    assert mx.array_equal(model(ids), before).item()


def test_the_smaller_model_shares_its_weights() -> None:
    model = target()
    smaller = without_layers(model, (0, 5))
    assert smaller.layers[1] is model.layers[5]
    assert smaller.model.embed_tokens is model.model.embed_tokens


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_model_drafts_for_itself_or_is_refused_with_the_reason(name: str) -> None:
    model = zoo_model(name)
    last = len(model.layers) - 1
    if name in REFUSED:
        with pytest.raises(UnsupportedModelError, match="cannot draft for itself"):
            without_layers(model, (last,))
        return
    smaller = without_layers(model, (last,))
    logits = smaller(mx.array([[1, 2, 3]]), cache=make_prompt_cache(smaller))
    assert logits.shape == model(mx.array([[1, 2, 3]]), cache=make_prompt_cache(model)).shape
    assert mx.isfinite(logits).all().item()
