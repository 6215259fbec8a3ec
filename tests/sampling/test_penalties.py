"""Penalties, biases and bans: the same history with and without speculation, at every drafted position."""

from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.errors import ConfigError
from mlx_spec.events import GenerationFinished
from mlx_spec.models.loading import ModelPair
from mlx_spec.sampling.penalties import Penalties
from tests import oracle
from tests.tiny import TINY_VOCAB, pair_of, tiny_llama, tiny_pair

VOCAB = 7
LENGTH = 32
PROMPT = [5, 9, 9, 40, 7, 120]
SETTINGS = {
    "repetition": SamplingParams(repetition_penalty=1.4),
    "encouraged": SamplingParams(repetition_penalty=0.8, presence_penalty=-0.5),
    "presence": SamplingParams(presence_penalty=1.5),
    "frequency": SamplingParams(frequency_penalty=0.9),
    "bias": SamplingParams(logit_bias={3: 6.0, 9: -100.0, 120: 5.5}),
    "bans": SamplingParams(banned_token_ids=tuple(range(0, TINY_VOCAB, 2))),
    "all": SamplingParams(
        repetition_penalty=1.2,
        presence_penalty=0.4,
        frequency_penalty=0.6,
        logit_bias={3: 4.0, 7: 5.0},
        banned_token_ids=(1, 3),
        top_p=0.95,
    ),
}


@pytest.fixture(scope="module")
def pair() -> ModelPair:
    return tiny_pair(0)


def ids_of(
    pair: ModelPair, params: SamplingParams, lookahead: int, config: SpeculativeConfig | None = None
) -> list[int]:
    """The answer at a lookahead, which no unsure draft cuts short; 0 is plain decoding."""
    config = replace(config or SpeculativeConfig(), acceptance_threshold=0.0)
    how = {"drafter": "none"} if lookahead == 0 else {"drafter": "model", "lookahead": lookahead}
    *_, end = SpeculativeDecoder(pair, config).stream(PROMPT, params, LENGTH, **how)
    assert isinstance(end, GenerationFinished)
    return list(end.token_ids)


@pytest.mark.in_turn
@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_gives_the_definitions_words_at_every_lookahead(
    pair: ModelPair, name: str, temperature: float
) -> None:
    params = replace(SETTINGS[name], temperature=temperature, seed=11)
    expected = oracle.plain_decoding(pair.target, PROMPT, params, LENGTH, set(pair.eos_token_ids))
    assert expected != oracle.plain_decoding(
        pair.target, PROMPT, SamplingParams(temperature=temperature, seed=11), LENGTH, set(pair.eos_token_ids)
    ), "the setting should matter"
    assert [ids_of(pair, params, lookahead) for lookahead in (0, 1, 4, 8)] == [expected] * 4


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("name", ["repetition", "presence", "frequency", "all"])
def test_a_history_that_stands_still_inside_the_chain_is_noticed(
    pair: ModelPair, monkeypatch: pytest.MonkeyPatch, name: str, temperature: float
) -> None:
    """A planted fault: every drafted position is penalised as the first one."""
    params = replace(SETTINGS[name], temperature=temperature, seed=11)
    plain = ids_of(pair, params, 0)
    monkeypatch.setattr(Penalties, "_counts_before", lambda self, rows, drafted, seen: self._counts[None])
    assert ids_of(pair, params, 0) == plain
    assert ids_of(pair, params, 8) != plain


@pytest.mark.parametrize("name", ["repetition", "frequency", "all"])
def test_a_history_one_token_ahead_is_noticed(pair: ModelPair, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A planted fault: each row is penalised for the draft that it is to judge."""
    params = replace(SETTINGS[name], seed=11)
    counts = Penalties._counts_before

    def ahead(self: Penalties, rows: int, drafted: mx.array | None, seen: mx.array | None) -> mx.array:
        if drafted is None or rows == 1:
            return counts(self, rows, drafted, seen)
        return counts(self, rows, mx.concatenate([drafted, drafted[-1:]]), seen)

    plain = ids_of(pair, params, 0)
    monkeypatch.setattr(Penalties, "_counts_before", ahead)
    assert ids_of(pair, params, 8) != plain


@pytest.mark.parametrize("name", ["repetition", "frequency", "all"])
@pytest.mark.parametrize("rule", ["coupled", "token", "block"])
def test_a_draft_equal_to_its_target_is_accepted_under_penalties_too(name: str, rule: str) -> None:
    """The draft sees the same history at each of its steps, so its q is p."""
    target = tiny_llama(3)
    config = SpeculativeConfig(lookahead=5, adaptive_lookahead=False, acceptance=rule)
    decoder = SpeculativeDecoder(pair_of(target, target), config)
    *_, end = decoder.stream(PROMPT, replace(SETTINGS[name], temperature=0.8, seed=1), 25)
    assert isinstance(end, GenerationFinished)
    assert end.stats.tested_tokens > 10
    assert end.stats.acceptance_rate == 1.0


@pytest.mark.parametrize("rule", ["coupled", "token", "block", "typical"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_banned_token_is_never_said(pair: ModelPair, rule: str, temperature: float) -> None:
    """Whatever the answer says is banned, again and again, and a bias does not bring it back."""
    banned: set[int] = set()
    for _ in range(4):
        bias = dict.fromkeys(banned, 100.0)
        params = SamplingParams(temperature=temperature, seed=3, banned_token_ids=tuple(banned), logit_bias=bias)
        said = set(ids_of(pair, params, 4, SpeculativeConfig(acceptance=rule)))
        assert said
        assert not said & banned
        banned |= said


def test_the_last_token_left_is_said() -> None:
    pair = pair_of(tiny_llama(3), tiny_llama(4))
    params = SamplingParams(banned_token_ids=tuple(token_id for token_id in range(TINY_VOCAB) if token_id != 77))
    assert set(ids_of(pair, params, 4)) == {77}


def test_what_the_vocabulary_cannot_give_is_told_before_the_first_event(pair: ModelPair) -> None:
    decoder = SpeculativeDecoder(pair)
    with pytest.raises(ConfigError, match=r"banned_token_ids is '259 ids': it must be short of the whole vocabulary"):
        decoder.stream(PROMPT, SamplingParams(banned_token_ids=tuple(range(TINY_VOCAB))))
    with pytest.raises(ConfigError, match=r"banned_token_ids is 259: it must be made of token ids from 0 to 258"):
        decoder.stream(PROMPT, SamplingParams(banned_token_ids=(3, 259)))
    with pytest.raises(ConfigError, match=r"logit_bias is 300: it must be made of token ids from 0 to 258"):
        decoder.stream(PROMPT, SamplingParams(logit_bias={300: 1.0}))


@settings(max_examples=100, deadline=None)
@given(
    data=st.data(),
    prompt_ids=st.lists(st.integers(0, VOCAB - 1), max_size=5),
    answer_ids=st.lists(st.integers(0, VOCAB - 1), max_size=6),
    drafted=st.lists(st.integers(0, VOCAB - 1), max_size=5),
    repetition=st.sampled_from([1.0, 0.7, 1.5]),
    presence=st.sampled_from([0.0, 0.5, -2.0]),
    frequency=st.sampled_from([0.0, 0.25, -1.0]),
    bias=st.dictionaries(st.integers(0, VOCAB - 1), st.sampled_from([-100.0, -0.5, 3.0]), max_size=3),
    banned=st.sets(st.integers(0, VOCAB - 1), max_size=VOCAB - 1),
)
def test_every_row_has_the_history_that_plain_decoding_would_have(
    data: st.DataObject,
    prompt_ids: list[int],
    answer_ids: list[int],
    drafted: list[int],
    repetition: float,
    presence: float,
    frequency: float,
    bias: dict[int, float],
    banned: set[int],
) -> None:
    params = SamplingParams(
        repetition_penalty=repetition,
        presence_penalty=presence,
        frequency_penalty=frequency,
        logit_bias=bias,
        banned_token_ids=tuple(banned),
    )
    rows = data.draw(st.integers(1, len(drafted) + 1))
    logits = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=(rows, VOCAB)).astype(np.float32)
    penalties = Penalties(params, VOCAB)
    penalties.read_prompt(prompt_ids)
    for begin in range(0, len(answer_ids), 2):
        penalties.push(answer_ids[begin : begin + 2])
    got = penalties.apply(mx.array(logits), mx.array(drafted, dtype=mx.int32) if drafted else None)
    for i in range(rows):
        seen = drafted[: len(drafted) - (rows - 1) + i]
        expected = oracle.penalised(logits[i], params, prompt_ids, answer_ids + seen)
        np.testing.assert_allclose(np.array(got[i]), expected, atol=1e-4)


def test_without_a_setting_nothing_is_computed() -> None:
    penalties = Penalties(SamplingParams(temperature=1, top_k=3), VOCAB)
    penalties.read_prompt([1, 2])
    penalties.push([3])
    logits = mx.zeros((2, VOCAB), dtype=mx.bfloat16)
    assert penalties.apply(logits, mx.array([1])) is logits
