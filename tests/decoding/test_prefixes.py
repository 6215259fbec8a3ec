"""What an earlier answer has read is not read again, and no word is another for it."""

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.config import DrafterName
from mlx_spec.decoding.cache.rollback import cuts_anywhere, leaves
from mlx_spec.decoding.drafters import eagle
from mlx_spec.decoding.prefixes import Prefixes, Reading
from mlx_spec.decoding.prompt import PREFILL_TOKENS
from mlx_spec.events import GenerationFinished, PrefillProgress, RoundFinished
from mlx_spec.models.loading import ModelPair
from tests.decoding.drafters.published import HIDDEN, LAYERS
from tests.decoding.drafters.test_decoding import heads_for
from tests.tiny import pair_of, tiny_llama, tiny_pair
from tests.zoo import ARCHITECTURES, VOCAB, zoo_model

CHUNK = 8
ROOMY = 1 << 30
SETTINGS = [SamplingParams(temperature=0, seed=1), SamplingParams(temperature=0.8, seed=2)]
FIXED = SpeculativeConfig(lookahead=3, adaptive_lookahead=False, acceptance_threshold=0.0)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PREFILL_TOKENS, mx.cpu, CHUNK)
    monkeypatch.setattr(eagle, "MARK_EVERY", CHUNK)


@pytest.fixture(scope="module", autouse=True)
def _uncompiled() -> Iterator[None]:
    """On a CPU, MLX has the C++ compiler make each fused kernel: minutes, for nothing that these tests ask."""
    mx.disable_compile()
    yield
    mx.enable_compile()


def told(decoder: SpeculativeDecoder, prompt: list[int], params: SamplingParams, tokens: int = 20) -> tuple[Any, int]:
    """The answer's ids, and how many tokens of the prompt were known."""
    events = list(decoder.stream(prompt, params, tokens))
    cached = {event.cached_tokens for event in events if isinstance(event, PrefillProgress)}
    assert len(cached) == 1, "it is known from the beginning"
    assert isinstance(events[-1], GenerationFinished)
    return events[-1].token_ids, cached.pop()


def turns(decoder: SpeculativeDecoder, cold: SpeculativeDecoder, params: SamplingParams, vocab: int) -> list[float]:
    """A chat of three turns: the same words as cold; the share of each prompt that was known."""
    chance = random.Random(5)
    prompt, shares = chance.choices(range(vocab), k=70), []
    for _ in range(3):
        found, cached = told(decoder, prompt, params)
        expected, none = told(cold, prompt, params)
        assert none == 0
        assert found == expected
        shares.append(cached / len(prompt))
        prompt = [*prompt, *found, *chance.choices(range(vocab), k=9)]
    return shares


@pytest.mark.parametrize("params", SETTINGS, ids=["greedy", "sampled"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_three_turns_of_every_architecture(name: str, params: SamplingParams) -> None:
    target = zoo_model(name)
    pair = pair_of(target, None, vocab=VOCAB)
    shares = turns(
        SpeculativeDecoder(pair, drafter="ngram", prefixes=Prefixes(ROOMY)),
        SpeculativeDecoder(pair, drafter="none"),
        params,
        VOCAB,
    )
    assert shares[0] == 0
    # Windows, chunks and states begin again where the turn before was read to, the others behind its answer.
    least = 0.8 if cuts_anywhere(target.make_cache() if hasattr(target, "make_cache") else []) else 0.6
    assert min(shares[1:]) >= least


@pytest.fixture(scope="module")
def headed(tmp_path_factory: pytest.TempPathFactory) -> ModelPair:
    target = tiny_llama(0, layers=LAYERS, hidden=HIDDEN, scale=0.5)
    return replace(pair_of(target, None), heads=heads_for(target, tmp_path_factory.mktemp("heads")))


@pytest.mark.parametrize("config", [FIXED, SpeculativeConfig()], ids=["fixed", "adaptive"])
@pytest.mark.parametrize("drafter", ["eagle", "medusa", "dflash", "auto"])
def test_heads_go_on_too(headed: ModelPair, drafter: DrafterName, config: SpeculativeConfig) -> None:
    for params in SETTINGS:
        shares = turns(
            SpeculativeDecoder(headed, config, drafter=drafter, prefixes=Prefixes(ROOMY)),
            SpeculativeDecoder(headed, config, drafter="none"),
            params,
            200,
        )
        assert min(shares[1:]) >= 0.6


@pytest.mark.parametrize("drafter", ["model", "self"])
@pytest.mark.parametrize("config", [FIXED, SpeculativeConfig()], ids=["fixed", "adaptive"])
def test_a_draft_model_does_not_read_the_chat_again(drafter: DrafterName, config: SpeculativeConfig) -> None:
    pair = tiny_pair(0)
    prefixes = Prefixes(ROOMY)
    hot = SpeculativeDecoder(pair, config, drafter=drafter, prefixes=prefixes)
    shares = turns(hot, SpeculativeDecoder(pair, drafter="none"), SETTINGS[1], 200)
    assert min(shares[1:]) >= 0.8


def test_it_drafts_as_well_as_one_that_has_read_everything(headed: ModelPair) -> None:
    """The same proposals, round by round: what came back is what was there."""
    for pair, drafter in ((headed, "eagle"), (headed, "dflash"), (tiny_pair(0), "model")):
        prefixes = Prefixes(ROOMY)
        hot = SpeculativeDecoder(pair, FIXED, drafter=drafter, prefixes=prefixes)  # type: ignore[arg-type]
        cold = SpeculativeDecoder(pair, FIXED, drafter=drafter)  # type: ignore[arg-type]
        prompt = random.Random(1).choices(range(200), k=100)
        told(hot, prompt[:50], SETTINGS[1])
        rounds = []
        for decoder in (hot, cold):
            events = list(decoder.stream(prompt, SETTINGS[1], 24))
            drafted = [event.drafted for event in events if isinstance(event, RoundFinished)]
            rounds.append([[token.token_id for token in tokens] for tokens in drafted])
        assert prefixes.stats.cached_tokens > 0
        assert rounds[0] == rounds[1]


def test_branches_and_edits_share_up_to_where_they_part() -> None:
    pair, prefixes = tiny_pair(0), Prefixes(ROOMY)
    hot, cold = SpeculativeDecoder(pair, prefixes=prefixes), SpeculativeDecoder(pair)
    prompt = random.Random(2).choices(range(200), k=100)
    first, _ = told(hot, prompt, SETTINGS[1])
    again, cached = told(hot, prompt, replace(SETTINGS[1], seed=9))
    assert cached == 96, "all whole chunks but for the last token, which is scored with the first drafts"
    assert (first, again) == (told(cold, prompt, SETTINGS[1])[0], told(cold, prompt, replace(SETTINGS[1], seed=9))[0])
    edited = [*prompt[:50], 7, 7, 7, *prompt[53:]]
    found, cached = told(hot, edited, SETTINGS[1])
    assert (found, cached) == (told(cold, edited, SETTINGS[1])[0], 48)
    assert (prefixes.stats.hits, prefixes.stats.misses) == (2, 1)


def test_a_cancelled_answer_leaves_what_it_has_read() -> None:
    pair, prefixes = tiny_pair(0), Prefixes(ROOMY)
    hot = SpeculativeDecoder(pair, FIXED, prefixes=prefixes)
    prompt = random.Random(3).choices(range(200), k=60)
    asked = iter(range(1000))
    events = list(hot.stream(prompt, SETTINGS[1], 50, should_cancel=lambda: next(asked) > 9))
    assert isinstance(events[-1], GenerationFinished)
    assert events[-1].finish_reason == "cancelled"
    following = [*prompt, *events[-1].token_ids, 5, 6]
    found, cached = told(hot, following, SETTINGS[1])
    assert cached >= 56
    assert found == told(SpeculativeDecoder(pair), following, SETTINGS[1])[0]


def reading(token_ids: list[int], size: int = 100) -> Reading:
    from mlx_spec.decoding.cache.snapshot import Snapshot

    point = Snapshot(len(token_ids), ({"keys": mx.zeros((size,), dtype=mx.uint8)},))
    return Reading(np.asarray(token_ids, dtype=np.int32), (point,), True)


def test_who_was_asked_last_stays() -> None:
    prefixes = Prefixes(250)
    for first in (1, 2):
        prefixes.keep(reading([first, 10, 11]))
    assert prefixes.find([1, 10, 99]) is not None  # asked again, so that the other is the oldest
    prefixes.keep(reading([3, 10, 11]))
    assert prefixes.find([2, 10, 99]) is None
    assert prefixes.find([1, 10, 99]) is not None
    assert prefixes.size_bytes == 200


def test_the_right_one_of_several_is_found_whatever_their_lengths() -> None:
    prefixes = Prefixes(ROOMY)
    for token_ids in ([1, 2, 3], [4, 5, 6], [7, 8, 9, 10]):
        prefixes.keep(reading(token_ids))
    for token_ids in ([4, 5, 0], [7, 8, 9, 0], [1, 2, 0]):
        found = prefixes.find([*token_ids, 0])
        assert found is not None
        assert found[1] == len(token_ids) - 1
        assert found[0].common(np.asarray(token_ids, dtype=np.int32)) == len(token_ids) - 1


def test_what_goes_on_from_a_reading_takes_its_place() -> None:
    prefixes = Prefixes(ROOMY)
    prefixes.keep(reading([1, 2, 3]))
    prefixes.keep(reading([1, 2, 3, 4]))
    prefixes.keep(reading([1, 9]))
    assert prefixes.size_bytes == 200


def test_one_that_is_larger_than_the_limit_is_kept_alone() -> None:
    prefixes = Prefixes(50)
    prefixes.keep(reading([1, 2]))
    prefixes.keep(reading([3, 4]))
    assert prefixes.size_bytes == 100
    assert prefixes.find([3, 4, 5]) is not None


def test_a_cut_cache_is_as_if_no_more_had_been_read() -> None:
    """Size and all: compiled passes look at the whole of it."""
    from mlx_spec.decoding.cache.cached_model import CachedModel

    model = tiny_llama(0)
    long, short = (CachedModel(model, "tiny", speculative=True) for _ in range(2))
    for at in range(0, 640, 64):
        long.prefill(list(range(at % 150, at % 150 + 64)))
        if at < 320:
            short.prefill(list(range(at % 150, at % 150 + 64)))
    again = CachedModel(model, "tiny", speculative=True)
    again.resume(long.snapshot(640), 320)
    for ours, theirs in zip(leaves(again._caches), leaves(short._caches), strict=True):
        assert ours.offset == theirs.offset == 320
        assert ours.keys.shape == theirs.keys.shape
        assert bool(mx.array_equal(ours.keys[..., :320, :], theirs.keys[..., :320, :]).item())
    assert isinstance(model, nn.Module)
