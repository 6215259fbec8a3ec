"""What prompts to come begin with is read in idle moments, and kept where they part."""

import random
from collections.abc import Iterator

import mlx.core as mx
import pytest

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder, decoder
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.cache.chunks import PREFILL_TOKENS
from mlx_spec.errors import PromptError
from mlx_spec.events import GenerationFinished
from mlx_spec.machine.kernels import prompt_attention
from tests.tiny import holding, pair_of, tiny_pair
from tests.zoo import VOCAB, zoo_model

CHUNK = 8
PARAMS = SamplingParams(temperature=0.8, seed=2)
FIXED = SpeculativeConfig(lookahead=3, adaptive_lookahead=False, acceptance_threshold=0.0)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PREFILL_TOKENS, mx.default_device().type, CHUNK)


def drawn(seed: int, count: int, vocab: int = 200) -> list[int]:
    return random.Random(seed).choices(range(vocab), k=count)


def answered(decoder: SpeculativeDecoder, prompt: list[int], owner: str | None = None) -> tuple[list[int], int]:
    """The answer's ids, and how many tokens of the prompt were known."""
    *_, end = decoder.stream(prompt, PARAMS, 20, owner=owner)
    assert isinstance(end, GenerationFinished)
    return list(end.token_ids), end.cached_tokens


def known(prefixes: Prefixes, ids: list[int]) -> int:
    return len(prefixes.find(ids)) * CHUNK


@pytest.mark.parametrize("independent", [True, False])
@pytest.mark.parametrize("drafter", ["model", "none"])
def test_what_is_expected_is_known_and_no_word_is_another(drafter: str, independent: bool) -> None:
    pair = tiny_pair(0)
    prefixes = Prefixes(1 << 30, block_tokens=CHUNK)
    hot = holding(SpeculativeDecoder(pair, FIXED, drafter=drafter, prefixes=prefixes), holds=independent)  # type: ignore[arg-type]
    prompt = drawn(1, 60)
    ids, _ = answered(hot, prompt)
    rewritten = [*prompt[:30], *drawn(2, 50), *ids[::-1]]
    hot.expect(rewritten)
    list(hot.settle())
    assert list(hot.settle()) == [], "it is settled"
    following = [*rewritten, 5, 6, 7]
    found, cached = answered(hot, following)
    assert cached == len(rewritten) // CHUNK * CHUNK
    assert found == answered(SpeculativeDecoder(pair, FIXED, drafter="none"), following)[0]


def test_of_several_the_first_is_read_first_and_all_in_the_end() -> None:
    hot = SpeculativeDecoder(tiny_pair(0), prefixes=Prefixes(1 << 30, block_tokens=CHUNK))
    prefixes = hot._prefixes
    assert prefixes is not None
    answered(hot, drawn(1, 40))
    likely, other = [*drawn(1, 40)[:24], *drawn(3, 40)], [*drawn(1, 40)[:24], *drawn(4, 40)]
    hot.expect(likely, other)
    found = [(known(prefixes, likely), known(prefixes, other)) for _ in hot.settle()]
    assert known(prefixes, likely) == known(prefixes, other) == 64
    assert (64, 24) in found


def test_what_is_known_already_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_attention, "serves", lambda: False)  # so that rounds have read it as a prompt is
    hot = holding(SpeculativeDecoder(tiny_pair(0), prefixes=Prefixes(1 << 30, block_tokens=CHUNK)))
    prompt = drawn(1, 60)
    ids, _ = answered(hot, prompt)
    hot.expect([*prompt, *ids[:-1]])
    assert list(hot.settle()) == []
    hot.expect([*prompt, *ids[:-1], *drawn(5, CHUNK)])
    assert list(hot.settle()) != []


def test_reading_ahead_that_is_given_up_loses_nothing() -> None:
    pair = tiny_pair(0)
    hot = SpeculativeDecoder(pair, FIXED, prefixes=Prefixes(1 << 30, block_tokens=CHUNK))
    prompt = drawn(1, 60)
    answered(hot, prompt)
    rewritten = [*prompt[:30], *drawn(2, 50)]
    hot.expect(rewritten)
    steps = hot.settle()
    for _ in range(3):
        next(steps)
    found, cached = answered(hot, [*rewritten, 5, 6])
    assert 24 < cached < 80
    assert found == answered(SpeculativeDecoder(pair), [*rewritten, 5, 6])[0]
    _, cached = answered(hot, [*prompt, 5, 6])
    assert cached == 56, "what was said before is known, too"


def test_what_is_no_prompt_is_left_out() -> None:
    hot = SpeculativeDecoder(
        pair_of(tiny_pair(0).target, None, context=64), prefixes=Prefixes(1 << 30, block_tokens=CHUNK)
    )
    answered(hot, drawn(1, 20))
    hot.expect([], drawn(2, 64), [5, 100_000])
    assert list(hot.settle()) == []
    hot.expect(drawn(2, 63))
    assert list(hot.settle()) != []


def test_before_any_answer_and_without_prefixes_nothing_comes_of_it() -> None:
    for hot in (
        SpeculativeDecoder(tiny_pair(0), prefixes=Prefixes(1 << 30, block_tokens=CHUNK)),
        SpeculativeDecoder(tiny_pair(0)),
    ):
        hot.expect(drawn(1, 40))
        assert list(hot.settle()) == []
        assert answered(hot, drawn(1, 41))[1] == 0


@pytest.mark.parametrize("name", ["gemma3", "qwen3_next", "mamba2", "llama"])
def test_prompts_that_part_are_known_up_to_there(name: str) -> None:
    """Models that cannot begin anywhere keep a point where an expected prompt parts from the one that they read."""
    pair = pair_of(zoo_model(name), None, vocab=VOCAB)
    prompts = [[*drawn(1, 45, VOCAB), *drawn(seed, 60, VOCAB)] for seed in (2, 3, 4)]
    hot = SpeculativeDecoder(pair, drafter="none", prefixes=Prefixes(1 << 30, block_tokens=CHUNK))
    cold = SpeculativeDecoder(pair, drafter="none")
    counts = []
    for prompt, following in zip(prompts, [*prompts[1:], []], strict=True):
        hot.expect(following)
        found, cached = answered(hot, prompt)
        assert found == answered(cold, prompt)[0]
        counts.append(cached)
    assert counts == [0, 40, 40]


@pytest.mark.parametrize("independent", [True, False])
def test_what_was_read_for_a_chat_is_forgotten_alone(independent: bool) -> None:
    prefixes = Prefixes(1 << 30, block_tokens=CHUNK)
    hot = holding(SpeculativeDecoder(tiny_pair(0), prefixes=prefixes), holds=independent)
    prompts = {"one": drawn(1, 60), "other": drawn(2, 60), None: drawn(3, 60)}
    for owner, prompt in prompts.items():
        ids, _ = answered(hot, prompt, owner)
        hot.expect([*prompt, *ids, *drawn(4, 20)])
        list(hot.settle())
    hot.forget_prefixes("one")
    found = {owner: known(prefixes, prompt) for owner, prompt in prompts.items()}
    assert found == {"one": 0, "other": 56, None: 56}
    assert prefixes.stats.kept_bytes > 0
    hot.forget_prefixes()
    assert prefixes.stats.kept_bytes == 0


def test_what_was_to_be_read_for_a_forgotten_chat_is_not_read() -> None:
    prefixes = Prefixes(1 << 30, block_tokens=CHUNK)
    hot = SpeculativeDecoder(tiny_pair(0), prefixes=prefixes)
    prompt = drawn(1, 60)
    answered(hot, prompt, "one")
    hot.expect([*prompt, *drawn(4, 20)])
    hot.forget_prefixes("other")
    next(hot.settle())
    hot.forget_prefixes("one")
    assert list(hot.settle()) == []
    assert prefixes.stats.kept_bytes == 0


def test_reading_ahead_goes_on_where_it_was_given_up() -> None:
    prefixes = Prefixes(1 << 30, block_tokens=CHUNK)
    hot = SpeculativeDecoder(tiny_pair(0), prefixes=prefixes)
    prompt = drawn(1, 60)
    answered(hot, prompt, "one")
    following = [*prompt, *drawn(4, 60)]
    hot.expect(following)
    steps = hot.settle()
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    before = known(prefixes, following)
    hot.forget_prefixes("another chat")
    list(hot.settle())
    assert before < known(prefixes, following) == 120
    assert list(hot.settle()) == [], "it is settled"


def test_a_request_that_is_refused_costs_no_text_its_place_on_the_disk() -> None:
    prefixes = Prefixes(1 << 30, block_tokens=CHUNK)
    written: list[str | None] = []

    class Disk:
        size_bytes = 0

        def load(self, key: bytes) -> None: ...

        def keep(self, blocks: object, owner: str | None) -> Iterator[None]:
            written.append(owner)
            yield

    prefixes.slow = Disk()  # type: ignore[assignment]
    hot = SpeculativeDecoder(tiny_pair(0), prefixes=prefixes)
    answered(hot, drawn(1, 60), "one")
    hot.expect(drawn(5, 30))
    with pytest.raises(PromptError):
        hot.stream([], PARAMS, 20, owner="other")
    list(hot.settle())
    assert written == ["one"]
    assert known(prefixes, drawn(5, 30)) == 0, "it was expected of the other chat"


def test_an_interrupted_answer_gives_its_blocks_back(monkeypatch: pytest.MonkeyPatch) -> None:
    prefixes = Prefixes(1 << 30, block_tokens=CHUNK)
    hot = SpeculativeDecoder(tiny_pair(0), prefixes=prefixes)

    def interrupted(answers: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(decoder, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            answered(hot, drawn(1, 60))
    prefixes.check()


def test_where_nothing_can_be_kept_nothing_is_read_ahead() -> None:
    hot = SpeculativeDecoder(tiny_pair(0), prefixes=Prefixes(1 << 30, kept_bytes=0, block_tokens=CHUNK))
    for _ in range(2):
        assert answered(hot, drawn(1, 60))[1] == 0
        hot.expect(drawn(1, 90))
        assert list(hot.settle()) == []
