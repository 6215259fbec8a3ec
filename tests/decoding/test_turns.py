"""A chat's next turn begins where its question does, wherever that stands, and no word is another for it."""

import random

import pytest

from mlx_spec import SamplingParams, SpeculativeDecoder
from mlx_spec.batching.batch import Batch
from mlx_spec.config import DrafterName
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.events import GenerationFinished, PrefillProgress
from mlx_spec.models.loading import ModelPair
from tests.decoding.cached import SETTINGS, every_drafter, told
from tests.tiny import pair_of
from tests.zoo import ARCHITECTURES, VOCAB, zoo_model

TURN = [58, 59]


@pytest.fixture(autouse=True)
def _turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelPair, "encode_turn", lambda self: TURN)


def said(seed: int, count: int) -> list[int]:
    return random.Random(seed).choices(range(58), k=count)


def chats(hot: SpeculativeDecoder, cold: SpeculativeDecoder, params: SamplingParams, *, length: int) -> None:
    """Three turns, of which the second and third begin behind all that was said."""
    prompt, known = [*said(0, length), *TURN, *said(1, 9)], 0
    for turn in range(3):
        answer, cached = told(hot, prompt, params)
        assert (answer, cached) == (told(cold, prompt, params)[0], known), f"turn {turn + 1}"
        written = [*prompt, *(token_id for token_id in answer if token_id not in TURN), *said(turn, 11), *TURN]
        hot.expect(written)
        for _ in hot.settle():
            pass
        prompt, known = [*written, *said(turn + 7, 14)], len(written)


@pytest.fixture(scope="module")
def headed(tmp_path_factory: pytest.TempPathFactory) -> ModelPair:
    return every_drafter(tmp_path_factory.mktemp("heads"))


@pytest.mark.in_turn
@pytest.mark.parametrize("params", SETTINGS, ids=["greedy", "sampled"])
@pytest.mark.parametrize("drafter", ["none", "ngram", "model", "eagle", "dflash", "auto"])
def test_the_next_turn_begins_there(headed: ModelPair, drafter: DrafterName, params: SamplingParams) -> None:
    hot = SpeculativeDecoder(headed, drafter=drafter, prefixes=Prefixes(1 << 30))
    chats(hot, SpeculativeDecoder(headed, drafter=drafter), params, length=150)


@pytest.mark.parametrize("drafter", ["none", "eagle"])
def test_far_behind_too_where_a_question_is_one_pass(headed: ModelPair, drafter: DrafterName) -> None:
    hot = SpeculativeDecoder(headed, drafter=drafter, prefixes=Prefixes(1 << 30))
    chats(hot, SpeculativeDecoder(headed, drafter=drafter), SETTINGS[0], length=1_021)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_begins_there(name: str) -> None:
    pair = pair_of(zoo_model(name), None, vocab=VOCAB)
    hot = SpeculativeDecoder(pair, drafter="none", prefixes=Prefixes(1 << 30))
    chats(hot, SpeculativeDecoder(pair, drafter="none"), SETTINGS[0], length=70)


def test_chats_that_share_what_was_said_before_begin_behind_it(headed: ModelPair) -> None:
    """In one step too, and with a system prompt that ends as an answer does."""
    alone = SpeculativeDecoder(headed, drafter="none")
    prompts = [[*said(0, 90), *TURN, *said(seed, 9)] for seed in range(1, 5)]
    decoder = SpeculativeDecoder(headed, drafter="none", prefixes=Prefixes(1 << 30))
    decoder.expect([*said(0, 90), *TURN])
    batch, found, cached = Batch(decoder), {}, {}
    for number, prompt in enumerate(prompts):
        batch.add(str(number), prompt, SETTINGS[1], 12)
    while not batch.is_idle:
        for request_id, event in batch.step():
            if isinstance(event, PrefillProgress):
                cached[int(request_id)] = event.cached_tokens
            if isinstance(event, GenerationFinished):
                found[int(request_id)] = event.token_ids
    assert [found[number] for number in range(4)] == [told(alone, prompt, SETTINGS[1])[0] for prompt in prompts]
    assert sorted(cached.values()) == [0, 92, 92, 92]


def test_an_answer_that_is_asked_for_again_begins_behind_a_whole_block(headed: ModelPair) -> None:
    hot, cold = (SpeculativeDecoder(headed, drafter="none", prefixes=kept) for kept in (Prefixes(1 << 30), None))
    prompt = [*said(0, 150), *TURN, *said(1, 60)]
    chats(hot, cold, SETTINGS[0], length=150)
    assert told(hot, prompt, SETTINGS[1]) == (told(cold, prompt, SETTINGS[1])[0], 128)
