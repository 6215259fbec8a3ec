"""Whatever drafts, the words are plain decoding's, seed by seed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlx_spec.config import DrafterName, SamplingParams, SpeculativeConfig
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.errors import ConfigError
from mlx_spec.events import GenerationFinished
from mlx_spec.models.heads.checkpoint import HeadKind
from mlx_spec.models.heads.loading import DRAFTER_OF, load_head
from mlx_spec.models.loading import ModelPair
from tests.decoding.drafters.published import HIDDEN, LAYERS, dflash, eagle1, eagle3, medusa
from tests.tiny import pair_of, tiny_llama

PROMPT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9]
HEADS: dict[HeadKind, Any] = {"eagle3": eagle3, "eagle": eagle1, "medusa": medusa, "dflash": dflash}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> ModelPair:
    """A target so unsure that the noise decides, and heads that are no surer: they agree often."""
    target = tiny_llama(0, layers=LAYERS, hidden=HIDDEN, scale=0.5)
    return replace(pair_of(target, None), heads=heads_for(target, tmp_path_factory.mktemp("heads")))


def heads_for(target: Any, folder: Path) -> dict[str, Any]:
    """Every kind of head; of the two kinds of EAGLE the newer."""
    heads = {}
    for kind in ("eagle", "eagle3", "medusa", "dflash"):
        head: Any = load_head(HEADS[kind](folder / kind)[0], kind, target, "tiny")  # type: ignore[arg-type,index]
        if kind == "eagle3":
            head.lm_head.weight = 0.05 * head.lm_head.weight
        if kind == "medusa":
            for blocks in head.heads:
                blocks[-1].weight = 0.05 * blocks[-1].weight
        heads[DRAFTER_OF[kind]] = head  # type: ignore[index]
    return heads


def answer(pair: ModelPair, drafter: DrafterName, temperature: float, config: SpeculativeConfig) -> GenerationFinished:
    decoder = SpeculativeDecoder(pair, config, drafter=drafter)
    params = SamplingParams(temperature=temperature, seed=11)
    *_, last = decoder.stream(PROMPT, params, 60)
    assert isinstance(last, GenerationFinished)
    return last


SHAPES = {
    "chain": SpeculativeConfig(lookahead=4, adaptive_lookahead=False, acceptance_threshold=0.0),
    "tree": SpeculativeConfig(
        adaptive_lookahead=False,
        tree_speculation=True,
        max_tree_depth=3,
        tree_branching_factor=2,
        acceptance_threshold=0.0,
    ),
}


@pytest.mark.in_turn
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("drafter", ["eagle", "medusa", "dflash", "self"])
def test_the_words_are_plain_decodings(pair: ModelPair, drafter: DrafterName, temperature: float, shape: str) -> None:
    plain = answer(pair, "none", temperature, SHAPES[shape])
    drafted = answer(pair, drafter, temperature, SHAPES[shape])
    assert drafted.token_ids == plain.token_ids
    assert drafted.stats.draft_tokens > 60
    if temperature and drafter != "dflash":  # whose own scores are the target's matrix on other states: too sure
        assert drafted.stats.accepted_tokens > 3


def test_eagle_1_says_the_same_words_too(pair: ModelPair, tmp_path: Path) -> None:
    head: Any = load_head(eagle1(tmp_path)[0], "eagle", pair.target, "tiny")
    older = replace(pair, heads={"eagle": head})
    for temperature in (0.0, 1.0):
        plain = answer(older, "none", temperature, SHAPES["chain"])
        assert answer(older, "eagle", temperature, SHAPES["chain"]).token_ids == plain.token_ids


def test_a_head_that_the_pair_does_not_have_is_named(pair: ModelPair) -> None:
    with pytest.raises(ConfigError, match="drafter is 'dflash': it must be auto, eagle, ngram, self or none"):
        SpeculativeDecoder(replace(pair, heads={"eagle": pair.heads["eagle"]}), drafter="dflash")


def test_everything_that_is_loaded_drafts_together(pair: ModelPair) -> None:
    config = SpeculativeConfig()
    plain = answer(pair, "none", 1.0, config)
    together = answer(pair, "auto", 1.0, config)
    assert together.token_ids == plain.token_ids
    assert together.stats.draft_tokens > 0
