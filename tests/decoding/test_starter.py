"""The promise on the real starter pair; `python -m tests.equality` runs the whole of it."""

import pytest

from mlx_spec.bench.prompts import bench_prompts
from mlx_spec.config import SamplingParams, SpeculativeConfig
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.decoding.admission import drafting
from mlx_spec.models.loading import ModelPair
from tests.equality import NEAR_TIE, compare, ids_of

pytestmark = pytest.mark.starter


@pytest.mark.parametrize(("prompt", "temperature", "top_p"), [(8, 0.0, 1.0), (35, 0.7, 0.9), (26, 1.2, 1.0)])
def test_the_draft_changes_no_word(starter_pair: ModelPair, prompt: int, temperature: float, top_p: float) -> None:
    params = SamplingParams(temperature=temperature, top_p=top_p, seed=prompt)
    result = compare(starter_pair, bench_prompts(40)[prompt], params, 12)
    assert all(difference["gap"] < NEAR_TIE for difference in result["differences"].values()), result


@pytest.mark.parametrize("shape", ["chain", "tree"])
def test_the_head_changes_no_word_and_saves_passes(starter_pair: ModelPair, shape: str) -> None:
    config = SpeculativeConfig(
        lookahead=2,
        adaptive_lookahead=False,
        acceptance_threshold=0.0,
        tree_speculation=shape == "tree",
        max_tree_depth=2,
        tree_branching_factor=2,
    )
    decoder = SpeculativeDecoder(starter_pair, config, drafter="eagle")
    prompt_ids = starter_pair.encode_chat([{"role": "user", "content": "Name three primary colours."}])
    plain = ids_of(decoder, prompt_ids, SamplingParams(), 16, drafter="none")
    decoder.reset_stats()
    assert ids_of(decoder, prompt_ids, SamplingParams(), 16) == plain
    assert decoder.stats().mean_tokens_per_pass > 1.25


def test_the_starters_head_comes_first(starter_pair: ModelPair) -> None:
    assert starter_pair.drafters == ("eagle", "model", "ngram", "self")
    assert drafting("auto", starter_pair) == ("eagle", "model", "ngram")


def test_the_starter_answers_sensibly_and_its_draft_helps(starter_pair: ModelPair) -> None:
    decoder = SpeculativeDecoder(starter_pair)
    assert "Paris" in decoder.generate("What is the capital of France?", SamplingParams(), max_tokens=16)
    stats = decoder.stats()
    assert stats.accepted_tokens > 0
    assert stats.mean_accepted_length > 1
