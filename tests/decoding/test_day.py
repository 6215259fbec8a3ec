"""A day in an app: many turns of many chats, with edits and branches, over a pool that holds a third of them."""

import random
from dataclasses import replace

import mlx.core as mx
import pytest
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.cache.chunks import PREFILL_TOKENS
from mlx_spec.decoding.cache.stretches import token_bytes
from mlx_spec.events import GenerationFinished
from tests.tiny import tiny_pair

TURNS, CHATS, CHUNK = 200, 10, 8
FIXED = SpeculativeConfig(lookahead=3, adaptive_lookahead=False, acceptance_threshold=0.0)


def test_no_wrong_word_no_lost_block_and_memory_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PREFILL_TOKENS, mx.cpu, CHUNK)
    pair, chance, now = tiny_pair(0), random.Random(11), [0.0]
    block_bytes = CHUNK * sum(token_bytes(model, make_prompt_cache(model)) for model in (pair.target, pair.draft))
    a_chat = 25 * block_bytes  # of about 200 tokens
    prefixes = Prefixes(CHATS * a_chat // 3, block_tokens=CHUNK, clock=lambda: now[0])
    hot = SpeculativeDecoder(pair, FIXED, prefixes=prefixes)
    cold = SpeculativeDecoder(pair, FIXED, drafter="none")
    system = chance.choices(range(200), k=40)
    chats = [list(system) for _ in range(CHATS)]
    known = peak = 0
    for turn in range(TURNS):
        now[0] += chance.choice((1.0, 30.0, 400.0))
        number = chance.randrange(CHATS)
        chat = chats[number]
        if chance.random() < 0.3:  # the last turns are edited, or branched from
            del chat[max(len(system), len(chat) - chance.randrange(60)) :]
        prompt = [*chat, *chance.choices(range(200), k=chance.randrange(1, 20))]
        params = SamplingParams(temperature=chance.choice((0.0, 0.8)), seed=turn)
        *_, end = hot.stream(prompt, params, 12)
        assert isinstance(end, GenerationFinished)
        if turn % 4 == 0:
            *_, alone = cold.stream(prompt, params, 12)
            assert isinstance(alone, GenerationFinished)
            assert end.token_ids == alone.token_ids
        if chance.random() < 0.7:
            list(hot.settle())
        prefixes.check()
        usage = prefixes.stats
        assert usage.kept_bytes <= prefixes.capacity_bytes
        assert usage.blocks.used <= usage.blocks.total
        known += end.cached_tokens
        chats[number] = [*prompt, *end.token_ids]
        if len(chats[number]) > 250:
            chats[number] = list(system)
        if turn == TURNS // 4:
            peak = mx.get_active_memory()
    assert known > 0
    assert mx.get_active_memory() <= peak + prefixes.capacity_bytes
    hot.forget_prefixes()
    prefixes.check()
    assert replace(prefixes.stats.blocks, total=0).used == 0
