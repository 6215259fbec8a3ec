"""What every chat begins with is read once, whatever else is kept, and no word is another for it."""

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

OPENING = 31


@pytest.fixture(autouse=True)
def _opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelPair, "encode_plain_opening", lambda self: ids(0, OPENING))


def ids(seed: int, count: int, vocab: int = 60) -> list[int]:
    return random.Random(seed).choices(range(vocab), k=count)


def asked(seed: int, count: int = 14) -> list[int]:
    """A chat's prompt, whose question is its own."""
    return [*ids(0, OPENING), seed, *ids(seed, count - 1)]


@pytest.fixture(scope="module")
def headed(tmp_path_factory: pytest.TempPathFactory) -> ModelPair:
    return every_drafter(tmp_path_factory.mktemp("heads"))


@pytest.mark.in_turn
@pytest.mark.parametrize("params", SETTINGS, ids=["greedy", "sampled"])
@pytest.mark.parametrize("drafter", ["none", "ngram", "model", "eagle", "dflash", "auto"])
def test_the_next_chat_begins_behind_it(headed: ModelPair, drafter: DrafterName, params: SamplingParams) -> None:
    hot = SpeculativeDecoder(headed, drafter=drafter, prefixes=Prefixes(1 << 30))
    cold = SpeculativeDecoder(headed, drafter=drafter)
    for number, known in ((1, 0), (2, OPENING), (3, OPENING)):
        assert told(hot, asked(number), params) == (told(cold, asked(number), params)[0], known)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_begins_behind_it(name: str) -> None:
    pair = pair_of(zoo_model(name), None, vocab=VOCAB)
    hot = SpeculativeDecoder(pair, drafter="none", prefixes=Prefixes(1 << 30))
    cold = SpeculativeDecoder(pair, drafter="none")
    for number, known in ((1, 0), (2, OPENING)):
        assert told(hot, asked(number), SETTINGS[0]) == (told(cold, asked(number), SETTINGS[0])[0], known)


def test_a_long_chat_does_not_take_its_place(headed: ModelPair) -> None:
    kept = Prefixes(1 << 30)
    decoder = SpeculativeDecoder(headed, drafter="eagle", prefixes=kept)
    long = asked(1, 200)
    assert told(decoder, long, SETTINGS[0])[1] == 0
    assert told(decoder, asked(2), SETTINGS[0])[1] == OPENING
    assert told(decoder, long, SETTINGS[0])[1] > 128
    decoder.forget_prefixes("a chat")
    assert told(decoder, asked(3), SETTINGS[0])[1] == OPENING
    decoder.forget_prefixes()
    assert told(decoder, asked(4), SETTINGS[0])[1] == 0
    kept.check()


def test_answers_side_by_side_begin_behind_it(headed: ModelPair) -> None:
    decoder = SpeculativeDecoder(headed, prefixes=Prefixes(1 << 30))
    alone = {number: told(decoder, asked(number), SETTINGS[1])[0] for number in range(5, 9)}
    batch, found = Batch(decoder), {}
    for number in alone:
        batch.add(str(number), asked(number), SETTINGS[1], 12)
    while not batch.is_idle:
        for request_id, event in batch.step():
            if isinstance(event, PrefillProgress):
                assert event.cached_tokens == OPENING
            if isinstance(event, GenerationFinished):
                found[int(request_id)] = event.token_ids
    assert found == alone


def test_warming_up_reads_it(headed: ModelPair) -> None:
    decoder = SpeculativeDecoder(headed, prefixes=Prefixes(1 << 30))
    list(decoder.warm_up())
    assert told(decoder, asked(1), SETTINGS[0])[1] == OPENING


def test_a_prompt_that_begins_otherwise_is_read_as_ever(headed: ModelPair) -> None:
    decoder = SpeculativeDecoder(headed, drafter="none", prefixes=Prefixes(1 << 30))
    told(decoder, asked(1), SETTINGS[0])
    other = [1, *asked(1)[1:]] if asked(1)[0] != 1 else [2, *asked(1)[1:]]
    assert decoder.request(other).opening == 0
    assert decoder.request(ids(0, OPENING)).opening == 0, "there is nothing behind it"
    assert told(decoder, other, SETTINGS[0])[1] == 0


def test_what_is_short_is_sooner_read_again(headed: ModelPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelPair, "encode_plain_opening", lambda self: ids(0, 15))
    assert SpeculativeDecoder(headed).request(ids(0, 40)).opening == 0
