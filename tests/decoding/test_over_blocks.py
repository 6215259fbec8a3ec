"""Answers whose target goes over blocks, forced here: the same words, nothing copied, the same left behind."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import mlx.core as mx
import mlx.nn as nn
import pytest

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.acceptance.tree import Shape
from mlx_spec.decoder import step
from mlx_spec.decoding.answer import Answer
from mlx_spec.decoding.cache import over_blocks
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.cache.chunks import PREFILL_TOKENS
from mlx_spec.decoding.cache.paged_choice import PagedChoice
from mlx_spec.decoding.cache.passes.paged import BlockCache
from mlx_spec.decoding.cache.passes.ragged import RaggedPasses
from mlx_spec.decoding.prompt import read_prompt
from mlx_spec.decoding.target import Target
from mlx_spec.events import GenerationFinished, RoundFinished
from mlx_spec.lookahead.fixed import FixedLookahead
from mlx_spec.machine.kernels import prompt_attention
from mlx_spec.models.loading import ModelPair
from tests.decoding.cache.passes.test_paged import OVER_BLOCKS
from tests.decoding.cache.passes.test_tree_passes import TAKES_TREES
from tests.decoding.drafters.published import HIDDEN, LAYERS
from tests.decoding.drafters.test_decoding import heads_for
from tests.decoding.test_many_answers import ASKED, SHARE, Asked, together
from tests.tiny import holding, pair_of, tiny_llama, tiny_pair
from tests.zoo import VOCAB, WINDOW, mixed, zoo_model

CHUNK: Final = 8
SETTINGS: Final = {"greedy": SamplingParams(temperature=0, seed=1), "sampled": SamplingParams(temperature=0.8, seed=2)}
FIXED: Final = SpeculativeConfig(lookahead=3, adaptive_lookahead=False, acceptance_threshold=0.0)
PAYS: Final = PagedChoice(((1, 1, 0.5),))


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PREFILL_TOKENS, mx.cpu, CHUNK)


def forced(model: nn.Module, *, to: bool = True) -> nn.Module:
    """A model all of whose answers go over blocks, or none."""
    over_blocks.adopt(model, PAYS.pays if to else PagedChoice().pays)
    return model


def prompt_of(length: int, vocab: int = VOCAB, seed: int = 7) -> list[int]:
    return random.Random(seed).choices(range(vocab), k=length)


def ended(decoder: SpeculativeDecoder, prompt: list[int], params: SamplingParams, tokens: int, **how: Any) -> Any:
    *_, end = decoder.stream(prompt, params, tokens, **how)
    assert isinstance(end, GenerationFinished)
    return end


def cached_of(answer: Answer) -> Any:
    return answer.target._cached


def zoo_pair(name: str) -> ModelPair:
    target = zoo_model(name)
    return pair_of(target, mixed(target, zoo_model(name, seed=9), SHARE), vocab=VOCAB)


@pytest.mark.parametrize("name", sorted(OVER_BLOCKS))
def test_every_architecture_says_over_blocks_what_it_says_over_its_own_caches(name: str) -> None:
    """Plainly and with each drafter. No two tokens of these models are nearly tied."""
    pair = zoo_pair(name)
    decoder = SpeculativeDecoder(pair, FIXED)
    tokens, accepted, rejected = 3 * WINDOW, 0, 0
    for params in SETTINGS.values():
        prompt = prompt_of(2 * WINDOW + 3)
        forced(pair.target, to=False)
        own = ended(decoder, prompt, params, tokens, drafter="none").token_ids
        forced(pair.target)
        for drafter in ("none", "ngram", "model"):
            found = ended(decoder, prompt, params, tokens, drafter=drafter)
            assert found.token_ids == own, drafter
            accepted += found.stats.accepted_tokens
            rejected += found.stats.tested_tokens - found.stats.accepted_tokens
    assert min(accepted, rejected) > 2


def test_the_target_is_over_blocks_then_and_only_then() -> None:
    """What the tests here compare is what they mean to."""
    pair = tiny_pair(0)
    one = Asked(prompt_of(20), 0.8, "model", 9)
    assert not one.begun(pair).target.is_over_blocks
    forced(pair.target)
    answer = one.begun(pair)
    assert answer.target.is_over_blocks
    assert {type(cache) for cache in cached_of(answer).caches} == {BlockCache}
    over_blocks.adopt(pair.target, PagedChoice(((1, 19, 1.2), (1, 21, 0.7))).pays)
    assert answer.target.pays_over_blocks(20)
    assert not answer.target.pays_over_blocks(19), "by the prompt's length"
    few = replace(pair, target=forced(tiny_llama(0, hidden=128)), draft=None)
    with_bits = Target(few.target, "tiny", speculative=True, kv_bits=8)
    assert not with_bits.pays_over_blocks(100), "not in fewer bits"
    config = SpeculativeConfig(kv_bits=8)
    assert ended(SpeculativeDecoder(few, config), prompt_of(9), SETTINGS["greedy"], 5).token_ids


def finished(answer: Answer) -> tuple[int, ...]:
    while not answer.is_finished:
        step([answer])
    return answer.finished().token_ids


class Doubtful(nn.Module):
    """A draft that knows the text, but what comes at every third place it says second."""

    def __init__(self, text: list[int]) -> None:
        super().__init__()
        following = mx.array([*text[1:], *[0] * 40])[:, None] - mx.arange(VOCAB)
        wrong = (mx.arange(following.shape[0]) % 3 == 0)[:, None]
        self._model = zoo_model("llama", seed=9)
        following = mx.array([*text[1:], *[0] * 40])[:, None] - mx.arange(VOCAB)
        wrong = (mx.arange(following.shape[0]) % 3 == 0)[:, None]
        self._rows = 400.0 * (following == 0) + mx.where(wrong, 600.0, 200.0) * (following == -1)

    @property
    def layers(self) -> Any:
        return self._model.layers

    def __call__(self, inputs: mx.array, cache: list[Any]) -> mx.array:
        at = mx.array(cache[0].offset)
        rows = self._rows[at if at.ndim else at + mx.arange(inputs.shape[1])]
        return self._model(inputs, cache=cache) + rows[None]


@pytest.mark.parametrize("name", sorted(OVER_BLOCKS & TAKES_TREES))
def test_trees_change_no_word(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pair, chosen = pair_of(zoo_model(name), None, vocab=VOCAB), []
    choose = CachedModel.choose

    def noted(self: CachedModel, at: Sequence[int]) -> None:
        if self.is_over_blocks:
            chosen.append(list(at))
        choose(self, at)

    monkeypatch.setattr(CachedModel, "choose", noted)
    for temperature in (0.0, 0.8):
        one = Asked(prompt_of(WINDOW + 5), temperature, "model", 2 * WINDOW, tree=Shape((2, 2)))
        forced(pair.target, to=False)
        own = one.alone(pair)
        forced(pair.target)
        drafted = replace(pair, draft=Doubtful([*one.prompt, *own]), draft_name="doubtful")
        assert one.begun(drafted).target.takes_trees
        assert finished(one.begun(drafted)) == own == one.alone(pair)
    assert [1, 4] in chosen, "a path that is not its tree's first"


@pytest.mark.parametrize("name", sorted(OVER_BLOCKS))
def test_many_answers_over_blocks_and_over_own_caches_in_one_step(name: str) -> None:
    pair = zoo_pair(name)
    longer = PagedChoice(((1, 8, 1.2), (1, 10, 0.7)))
    over_blocks.adopt(pair.target, longer.pays)
    assert {one.begun(pair).target.is_over_blocks for one in ASKED} == {True, False}
    assert together(pair, ASKED) == [one.alone(pair) for one in ASKED]


def test_those_of_one_way_share_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    pair, made = zoo_pair("qwen3_next"), []
    run = RaggedPasses.run
    monkeypatch.setattr(
        RaggedPasses, "run", lambda self, parts, *a, **k: (made.append(len(parts)), run(self, parts, *a, **k))[1]
    )
    over_blocks.adopt(pair.target, PagedChoice(((1, 8, 1.2), (1, 10, 0.7))).pays)
    answers = [one.begun(pair) for one in ASKED[:3]]
    assert [answer.target.is_over_blocks for answer in answers] == [False, True, True]
    step(answers)
    made.clear()
    step(answers)
    assert 3 in made, "where own caches' passes are not compiled, with those"


def arrays_left(kept: Prefixes, prompt: list[int]) -> list[mx.array]:
    blocks = kept.find(prompt)
    parts = [array for block in blocks for part in block.parts.values() for array in part]
    return parts + [array for block in blocks for point in block.points.values() for array in point.arrays]


@pytest.mark.parametrize("name", sorted(OVER_BLOCKS))
def test_three_turns_find_as_much_and_leave_the_same(name: str) -> None:
    pair = pair_of(zoo_model(name), None, vocab=VOCAB)
    shares, left = {}, {}
    for to in (False, True):
        forced(pair.target, to=to)
        kept = Prefixes(1 << 30, block_tokens=CHUNK)
        hot = SpeculativeDecoder(pair, drafter="ngram", prefixes=kept)
        cold = SpeculativeDecoder(pair, drafter="none")
        found = []
        prompt = prompt_of(6 * WINDOW)
        for turn in range(3):
            end = ended(hot, prompt, SETTINGS["sampled"], WINDOW + 4)
            assert end.token_ids == ended(cold, prompt, SETTINGS["sampled"], WINDOW + 4).token_ids
            found.append(end.cached_tokens)
            list(hot.settle())
            if turn == 0:
                left[to] = arrays_left(kept, prompt)
            prompt = [*prompt, *end.token_ids, *prompt_of(5, seed=turn)]
        shares[to] = found
    assert shares[True] == shares[False]
    assert shares[True][-1] > 6 * WINDOW
    assert len(left[True]) == len(left[False]) > 0
    assert all(mx.array_equal(one, other) for one, other in zip(left[True], left[False], strict=True))


def test_what_rounds_over_blocks_have_read_is_no_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where rows hold at any width and attend as prompts do: blocks round otherwise."""
    monkeypatch.setattr(prompt_attention, "serves", lambda: False)
    pair = tiny_pair(0)
    for to, most in ((False, 40), (True, 16)):
        forced(pair.target, to=to)
        kept = Prefixes(1 << 30, block_tokens=CHUNK)
        decoder, prompt = holding(SpeculativeDecoder(pair, drafter="none", prefixes=kept)), prompt_of(20)
        end = ended(decoder, prompt, SETTINGS["sampled"], 25)
        assert len(kept.find([*prompt, *end.token_ids])) * CHUNK == most


def test_reading_ahead_leaves_what_it_read_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = tiny_pair(0)
    forced(pair.target)
    decoder = SpeculativeDecoder(pair, drafter="none", prefixes=Prefixes(1 << 30, block_tokens=CHUNK))
    prompt = prompt_of(20)
    end = ended(decoder, prompt, SETTINGS["sampled"], 30)
    with monkeypatch.context() as patch:
        patch.setattr(CachedModel, "go_over_blocks", lambda *_: pytest.fail("nothing is answered"))
        assert len(list(decoder.settle())) > 2
    assert ended(decoder, [*prompt, *end.token_ids, 5], SETTINGS["sampled"], 3).cached_tokens == 48


def test_an_answer_that_is_cancelled_goes_on_with_the_same_words() -> None:
    pair = zoo_pair("gemma3")
    forced(pair.target)
    decoder = SpeculativeDecoder(pair, FIXED, prefixes=Prefixes(1 << 30, block_tokens=CHUNK))
    prompt = prompt_of(40)
    whole = ended(decoder, prompt, SETTINGS["sampled"], 40).token_ids
    asked = iter(range(100))
    cut = ended(decoder, prompt, SETTINGS["sampled"], 40, should_cancel=lambda: next(asked) > 8).token_ids
    assert 0 < len(cut) < 40
    assert cut == whole[: len(cut)]
    assert cut + ended(decoder, [*prompt, *cut], SETTINGS["sampled"], 40 - len(cut)).token_ids == whole
    stream = decoder.stream(prompt, SETTINGS["sampled"], 40)
    next(event for event in stream if isinstance(event, RoundFinished))
    stream.close()  # a pass is under way
    assert ended(decoder, prompt, SETTINGS["sampled"], 40).token_ids == whole


def test_heads_read_its_layers_and_trees_and_padding_go_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = forced(tiny_llama(0, layers=LAYERS, hidden=HIDDEN, scale=0.5))
    pair = replace(pair_of(target, None), heads=heads_for(target, tmp_path))
    trees = replace(FIXED, tree_speculation=True)
    prompt = prompt_of(30, 200)
    for params in SETTINGS.values():
        plain = ended(SpeculativeDecoder(pair), prompt, params, 24, drafter="none").token_ids
        for drafter in ("eagle", "medusa", "dflash"):
            for config in (FIXED, trees):
                assert ended(SpeculativeDecoder(pair, config), prompt, params, 24, drafter=drafter).token_ids == plain
        with monkeypatch.context() as patch:
            patch.setattr(FixedLookahead, "rows", lambda self, count: count + 3)
            padded = ended(SpeculativeDecoder(pair, FIXED), prompt, params, 24, drafter="eagle", lookahead=2)
        assert padded.token_ids == plain


def test_an_answer_over_blocks_is_swapped_out_and_in_bit_for_bit() -> None:
    pair = tiny_pair(0)
    forced(pair.target)
    decoder = SpeculativeDecoder(pair, FIXED, drafter="none")
    prompt = prompt_of(30, 200)
    alone = ended(decoder, prompt, SETTINGS["sampled"], 20)
    answer = decoder.begin(decoder.request(prompt, SETTINGS["sampled"], 20))
    for _ in read_prompt(answer, lambda: False):
        pass
    while not answer.is_finished:
        step([answer])
        before = mx.get_active_memory()
        answer.swap_out()
        assert mx.get_active_memory() < before, "what it held is elsewhere"
        answer.swap_in()
    assert tuple(answer.transcript.token_ids) == alone.token_ids
