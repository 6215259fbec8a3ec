"""What an earlier answer has read is not read again, and no word is another for it."""

import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.config import DrafterName
from mlx_spec.decoding.admission import admit
from mlx_spec.decoding.answer import Answer
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.cache.chunks import PREFILL_TOKENS
from mlx_spec.decoding.cache.rollback import leaves
from mlx_spec.decoding.cache.stretches import split_leaves
from mlx_spec.decoding.drafters import draft_model, eagle, vocab_bridge
from mlx_spec.decoding.prompt import read_prompt
from mlx_spec.decoding.tally import StatsCounter
from mlx_spec.errors import PromptError
from mlx_spec.events import GenerationFinished, PrefillProgress, RoundFinished
from mlx_spec.lookahead.fixed import FixedLookahead
from mlx_spec.machine.kernels import prompt_attention
from mlx_spec.models.loading import ModelPair
from tests.decoding.drafters.published import HIDDEN, LAYERS
from tests.decoding.drafters.test_bridge_decoder import bridged_pair
from tests.decoding.drafters.test_decoding import heads_for
from tests.tiny import holding, pair_of, tiny_llama, tiny_pair
from tests.zoo import ARCHITECTURES, VOCAB, zoo_model

CHUNK = 8
KEPT = ("keys", "values")
ROOMY = 1 << 30
SETTINGS = [SamplingParams(temperature=0, seed=1), SamplingParams(temperature=0.8, seed=2)]
FIXED = SpeculativeConfig(lookahead=3, adaptive_lookahead=False, acceptance_threshold=0.0)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PREFILL_TOKENS, mx.cpu, CHUNK)
    monkeypatch.setattr(eagle, "PART_TOKENS", CHUNK)


def prefixes(capacity: int = ROOMY, **settings: Any) -> Prefixes:
    return Prefixes(capacity, block_tokens=CHUNK, **settings)


def told(decoder: SpeculativeDecoder, prompt: list[int], params: SamplingParams, tokens: int = 20) -> tuple[Any, int]:
    """The answer's ids, and how many tokens of the prompt were known."""
    events = list(decoder.stream(prompt, params, tokens))
    cached = {event.cached_tokens for event in events if isinstance(event, PrefillProgress)}
    assert len(cached) == 1, "it is known from the beginning"
    assert isinstance(events[-1], GenerationFinished)
    return events[-1].token_ids, cached.pop()


def turns(
    decoder: SpeculativeDecoder,
    cold: SpeculativeDecoder | None,
    params: SamplingParams,
    vocab: int,
    *,
    length: int = 70,
    tokens: int = 20,
    idle: bool = True,
) -> list[float]:
    """A chat of three turns: the same words as cold; the share of each prompt that was known."""
    chance = random.Random(5)
    prompt, shares = chance.choices(range(vocab), k=length), []
    for _ in range(3):
        found, cached = told(decoder, prompt, params, tokens)
        if cold is not None:
            assert (found, 0) == told(cold, prompt, params, tokens)
        shares.append(cached / len(prompt))
        if idle:
            list(decoder.settle())
        prompt = [*prompt, *found, *chance.choices(range(vocab), k=9)]
    return shares


def table() -> dict[str, list[str]]:
    """By architecture, what docs/prefixes.md says of it."""
    text = (Path(__file__).parents[2] / "docs" / "prefixes.md").read_text(encoding="utf-8")
    rows = (line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| "))
    return {row[0]: row[1:] for row in rows if len(row) == 7 and row[0] in ARCHITECTURES}


def test_the_table_names_every_architecture_and_its_caches() -> None:
    assert list(table()) == list(ARCHITECTURES)
    for name, (in_blocks, at_points, *_) in table().items():
        stretches, states = split_leaves(make_prompt_cache(zoo_model(name)))
        assert int(in_blocks) == len(stretches)
        assert sum(int(number) for number in re.findall("[0-9]+", at_points)) == len(states)


@pytest.mark.in_turn
@pytest.mark.parametrize("params", SETTINGS, ids=["greedy", "sampled"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_three_turns_of_every_architecture(name: str, params: SamplingParams) -> None:
    pair = pair_of(zoo_model(name), None, vocab=VOCAB)
    hot = SpeculativeDecoder(pair, drafter="ngram", prefixes=prefixes())
    cold = SpeculativeDecoder(pair, drafter="none")
    shares = turns(hot, cold, params, VOCAB, length=200, tokens=24)
    assert shares[0] == 0
    for share, least in zip(shares[1:], table()[name][2:4], strict=True):
        assert share >= float(least)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_is_known_where_the_next_prompt_comes_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_attention, "serves", lambda: False)  # where prompts attend as rounds do
    pair = pair_of(zoo_model(name), None, vocab=VOCAB)
    # Only what is found is asked here, not what is said.
    hot = holding(SpeculativeDecoder(pair, drafter="none", prefixes=prefixes()))
    shares = turns(hot, None, SETTINGS[1], VOCAB, length=200, tokens=24, idle=False)
    assert [int(100 * share) / 100 for share in shares[1:]] == [float(share) for share in table()[name][4:]]


@pytest.fixture(scope="module")
def headed(tmp_path_factory: pytest.TempPathFactory) -> ModelPair:
    target = tiny_llama(0, layers=LAYERS, hidden=HIDDEN, scale=0.5)
    return replace(pair_of(target, None), heads=heads_for(target, tmp_path_factory.mktemp("heads")))


@pytest.mark.in_turn
@pytest.mark.parametrize("config", [FIXED, SpeculativeConfig()], ids=["fixed", "adaptive"])
@pytest.mark.parametrize("drafter", ["eagle", "medusa", "dflash", "auto"])
def test_heads_go_on_too(headed: ModelPair, drafter: DrafterName, config: SpeculativeConfig) -> None:
    for params in SETTINGS:
        shares = turns(
            SpeculativeDecoder(headed, config, drafter=drafter, prefixes=prefixes()),
            SpeculativeDecoder(headed, config, drafter="none"),
            params,
            200,
        )
        assert min(shares[1:]) >= 0.6


@pytest.mark.in_turn
@pytest.mark.parametrize("drafter", ["model", "self"])
@pytest.mark.parametrize("config", [FIXED, SpeculativeConfig()], ids=["fixed", "adaptive"])
def test_a_draft_model_does_not_read_the_chat_again(drafter: DrafterName, config: SpeculativeConfig) -> None:
    pair = tiny_pair(0)
    kept = prefixes()
    hot = SpeculativeDecoder(pair, config, drafter=drafter, prefixes=kept)
    shares = turns(hot, SpeculativeDecoder(pair, drafter="none"), SETTINGS[1], 200)
    assert min(shares[1:]) >= 0.8


@pytest.mark.parametrize("drafts", ["with the target's tokenizer", "with its own"])
def test_what_a_draft_reads_in_a_second_turn_is_what_is_new(drafts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = tiny_pair(0) if drafts == "with the target's tokenizer" else bridged_pair()
    monkeypatch.setattr(vocab_bridge, "BLOCK_TOKENS", CHUNK)
    read: list[int] = []

    class Counted(CachedModel):
        def score(self, token_ids: mx.array, **settings: Any) -> mx.array:
            read.append(token_ids.shape[0])
            return super().score(token_ids, **settings)

    for module in (draft_model, vocab_bridge):
        monkeypatch.setattr(module, "CachedModel", Counted)
    hot = SpeculativeDecoder(pair, FIXED, drafter="model", prefixes=prefixes())
    cold = SpeculativeDecoder(pair, FIXED, drafter="none")
    prompt = pair.encode("The quick brown fox jumps over the lazy dog, and then the dog sleeps on. " * 3)
    in_wide_passes = []
    for params in SETTINGS:
        ids, _ = told(hot, prompt, params)
        assert ids == told(cold, prompt, params)[0]
        list(hot.settle())
        in_wide_passes.append(sum(count for count in read if count > 4))
        read.clear()
        first = len(prompt)
        prompt = [*prompt, *ids, *prompt[:9]]
    assert in_wide_passes[0] >= first // 2
    assert in_wide_passes[1] < 20 + 9 + 2 * CHUNK < first // 2


def test_a_turn_without_a_drafter_does_not_cost_it_what_it_had_read(headed: ModelPair) -> None:
    """As a race asks: the same prompt plainly, and then on with the head."""
    hot = SpeculativeDecoder(headed, FIXED, prefixes=prefixes())
    prompt = random.Random(1).choices(range(200), k=100)
    for drafter in ("eagle", "none", "dflash", "eagle"):
        events = list(hot.stream(prompt, SETTINGS[1], 16, drafter=drafter))  # type: ignore[arg-type]
        assert isinstance(events[-1], GenerationFinished)
        found = list(events[-1].token_ids)
        cold = SpeculativeDecoder(headed, FIXED, drafter="none")
        assert tuple(found) == told(cold, prompt, SETTINGS[1], 16)[0]
        cached = events[-1].cached_tokens
        prompt = [*prompt, *found, 5, 6, 7]
        list(hot.settle())
    assert cached >= 96, "the head was asked two turns ago"


def test_it_drafts_as_well_as_one_that_has_read_everything(headed: ModelPair) -> None:
    """The same proposals, round by round: what came back is what was there."""
    for pair, drafter in ((headed, "eagle"), (headed, "dflash"), (tiny_pair(0), "model")):
        kept = prefixes()
        hot = SpeculativeDecoder(pair, FIXED, drafter=drafter, prefixes=kept)  # type: ignore[arg-type]
        cold = SpeculativeDecoder(pair, FIXED, drafter=drafter)  # type: ignore[arg-type]
        prompt = random.Random(1).choices(range(200), k=100)
        told(hot, prompt[:50], SETTINGS[1])
        rounds = []
        for decoder in (hot, cold):
            events = list(decoder.stream(prompt, SETTINGS[1], 24))
            drafted = [event.drafted for event in events if isinstance(event, RoundFinished)]
            rounds.append([[token.token_id for token in tokens] for tokens in drafted])
        assert kept.stats.cached_tokens > 0
        assert rounds[0] == rounds[1]


def test_branches_and_edits_share_up_to_where_they_part() -> None:
    pair, kept = tiny_pair(0), prefixes()
    hot, cold = SpeculativeDecoder(pair, prefixes=kept), SpeculativeDecoder(pair)
    prompt = random.Random(2).choices(range(200), k=100)
    first, _ = told(hot, prompt, SETTINGS[1])
    again, cached = told(hot, prompt, replace(SETTINGS[1], seed=9))
    assert cached == 96, "all whole chunks but for the last token, which is scored with the first drafts"
    assert (first, again) == (told(cold, prompt, SETTINGS[1])[0], told(cold, prompt, replace(SETTINGS[1], seed=9))[0])
    edited = [*prompt[:50], 7, 7, 7, *prompt[53:]]
    found, cached = told(hot, edited, SETTINGS[1])
    assert (found, cached) == (told(cold, edited, SETTINGS[1])[0], 48)
    assert (kept.stats.hits, kept.stats.misses) == (2, 1)


def test_a_cancelled_answer_leaves_what_it_has_read() -> None:
    pair, kept = tiny_pair(0), prefixes()
    hot = SpeculativeDecoder(pair, FIXED, prefixes=kept)
    prompt = random.Random(3).choices(range(200), k=60)
    asked = iter(range(1000))
    events = list(hot.stream(prompt, SETTINGS[1], 50, should_cancel=lambda: next(asked) > 9))
    assert isinstance(events[-1], GenerationFinished)
    assert events[-1].finish_reason == "cancelled"
    following = [*prompt, *events[-1].token_ids, 5, 6]
    found, cached = told(hot, following, SETTINGS[1])
    assert cached >= 56
    assert found == told(SpeculativeDecoder(pair), following, SETTINGS[1])[0]


def test_where_rows_depend_on_each_other_only_what_was_read_as_a_prompt_counts_until_it_settles() -> None:
    pair = tiny_pair(0)
    hot, cold = (holding(SpeculativeDecoder(pair, FIXED, prefixes=p), holds=False) for p in (prefixes(), None))
    prompt = random.Random(6).choices(range(200), k=60)
    ids, _ = told(hot, prompt, SETTINGS[0])
    following = [*prompt, *ids, 5, 6, 7]
    found, cached = told(hot, following, SETTINGS[0])
    assert (found, cached) == (told(cold, following, SETTINGS[0])[0], 56), "whole chunks of the first prompt"
    assert len(list(hot.settle())) > 1
    assert list(hot.settle()) == [], "it is settled"
    longer = [*following, *found, 8, 9]
    again, cached = told(hot, longer, SETTINGS[0])
    assert cached >= len(following) + len(found) - 1 - CHUNK
    assert again == told(cold, longer, SETTINGS[0])[0]


def test_settling_that_is_given_up_loses_nothing() -> None:
    pair, kept = tiny_pair(0), prefixes()
    hot = SpeculativeDecoder(pair, FIXED, prefixes=kept)
    prompt = random.Random(6).choices(range(200), k=60)
    ids, _ = told(hot, prompt, SETTINGS[1], 40)
    next(hot.settle())
    following = [*prompt, *ids, 5, 6]
    found, cached = told(hot, following, SETTINGS[1])
    assert cached >= 56
    assert found == told(SpeculativeDecoder(pair), following, SETTINGS[1])[0]


def held(pair: ModelPair, prompt: list[int], kept: Prefixes | None) -> list[mx.array]:
    """What the target's caches hold behind a prompt, as far as it was read."""
    request = admit(pair, FIXED, prompt, SETTINGS[0], 8, drafter="none")
    answer = Answer(pair, request, lambda *_: FixedLookahead(0), StatsCounter())
    list(read_prompt(answer, lambda: False, kept))
    length = answer.num_read
    return [getattr(cache, name)[..., :length, :] for cache in leaves(answer.target._cached._caches) for name in KEPT]


def test_a_hit_has_the_bits_of_reading_cold() -> None:
    """Whatever BLAS serves: rounds are narrower passes than chunks, and where that changes bits it must not show."""
    pair, kept = tiny_pair(0), prefixes()
    hot = SpeculativeDecoder(pair, FIXED, prefixes=kept)
    prompt = random.Random(8).choices(range(200), k=90)
    ids, _ = told(hot, prompt, SETTINGS[1], 40)
    list(hot.settle())
    following = [*prompt, *ids, *random.Random(9).choices(range(200), k=21)]
    found, expected = held(pair, following, kept), held(pair, following, None)
    assert kept.stats.misses == 1
    assert all(bool(mx.array_equal(ours, theirs).item()) for ours, theirs in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_who_stops_the_reading_of_a_next_turn_loses_nothing_of_the_chat(name: str) -> None:
    pair, kept = pair_of(zoo_model(name), None, vocab=VOCAB), prefixes()
    hot = SpeculativeDecoder(pair, prefixes=kept)
    prompt = random.Random(4).choices(range(VOCAB), k=60)
    ids, _ = told(hot, prompt, SETTINGS[1])
    following = [*prompt, *ids, *random.Random(5).choices(range(VOCAB), k=60)]
    asked = iter(range(1000))
    *_, end = hot.stream(following, SETTINGS[1], 20, should_cancel=lambda: next(asked) > 2)
    assert isinstance(end, GenerationFinished)
    assert (end.finish_reason, end.token_ids) == ("cancelled", ())
    found, cached = told(hot, following, SETTINGS[1])
    assert cached > 56
    assert found == told(SpeculativeDecoder(pair), following, SETTINGS[1])[0]


def test_a_cut_cache_is_as_if_no_more_had_been_read() -> None:
    """Size and all: compiled passes look at the whole of it."""
    model = tiny_llama(0)
    long, short = (CachedModel(model, "tiny", speculative=True) for _ in range(2))
    for at in range(0, 640, 64):
        long.prefill(list(range(at % 150, at % 150 + 64)))
        if at < 320:
            short.prefill(list(range(at % 150, at % 150 + 64)))
    again = CachedModel(model, "tiny", speculative=True)
    again.begin_with(long.cut_up([(0, 320)]), None)
    for ours, theirs in zip(leaves(again._caches), leaves(short._caches), strict=True):
        assert ours.offset == theirs.offset == 320
        assert ours.keys.shape == theirs.keys.shape
        assert bool(mx.array_equal(ours.keys[..., :320, :], theirs.keys[..., :320, :]).item())
    assert isinstance(model, nn.Module)


def test_the_answer_and_all_answers_count_what_was_known() -> None:
    decoder = SpeculativeDecoder(tiny_pair(0), prefixes=prefixes())
    finished = []
    for _ in range(2):
        *_, last = decoder.stream(list(range(100)), SETTINGS[0], 5)
        assert isinstance(last, GenerationFinished)
        finished.append(last)
    assert [one.cached_tokens for one in finished] == [0, 96]
    assert [(one.stats.prompt_tokens, one.stats.cached_tokens) for one in finished] == [(100, 0), (100, 96)]
    assert (decoder.stats().prompt_tokens, decoder.stats().cached_tokens) == (200, 96)
    assert decoder.prefix_stats().kept_bytes > 0
    decoder.forget_prefixes()
    assert decoder.prefix_stats().kept_bytes == 0
    assert told(decoder, list(range(100)), SETTINGS[0])[1] == 0
    without = SpeculativeDecoder(tiny_pair(0))
    without.forget_prefixes()
    assert without.prefix_stats().kept_bytes == 0


def test_an_answer_ends_where_the_memory_for_keys_and_values_does() -> None:
    pair = tiny_pair(0)
    kept = prefixes()
    decoder = SpeculativeDecoder(pair, FIXED, prefixes=kept)
    decoder_bytes = kept.stats.block_bytes
    small = prefixes(5 * decoder_bytes)  # 40 tokens
    limited = SpeculativeDecoder(pair, FIXED, prefixes=small)
    *_, end = limited.stream(list(range(30)), SETTINGS[0], 100)
    assert isinstance(end, GenerationFinished)
    assert (end.finish_reason, len(end.token_ids)) == ("length", 10)
    assert end.token_ids == told(decoder, list(range(30)), SETTINGS[0], 10)[0]
    small.check()
    with pytest.raises(PromptError, match=r"has 40 tokens, and the memory for keys and values holds 40: .*--kv-memory"):
        limited.stream(list(range(40)), SETTINGS[0], 1)
    assert told(limited, list(range(30)), SETTINGS[0], 10)[0] == end.token_ids
    small.check()
