"""Log-probabilities of answers and prompts: the target's own, the same bits however an answer is made."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.batching.batch import Batch
from mlx_spec.config import fixed_rounds
from mlx_spec.decoding import outcome, prompt
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.logprobs import rows
from mlx_spec.errors import ConfigError, NumericalError
from mlx_spec.events import Event, GenerationFinished, PromptScored, RoundFinished, TokenLogprob
from mlx_spec.models.loading import ModelPair
from mlx_spec.models.memory import rows_are_independent
from tests.tiny import tiny_pair

PROMPT = list(b"A prompt of more than one chunk, so that rows are counted on from one chunk to the next: indeed.")
WARPED = SamplingParams(temperature=0.8, top_k=5, seed=3, logit_bias={7: 4.0}, repetition_penalty=1.3)


@pytest.fixture(scope="module")
def pair() -> ModelPair:
    return tiny_pair(0)


def told(events: Sequence[Event]) -> list[TokenLogprob]:
    """The answer's tokens' own, and the end token's."""
    found: list[TokenLogprob | None] = []
    for event in events:
        if isinstance(event, RoundFinished):
            found += [token.logprob for token in event.emitted]
            found += [event.end] if event.end else []
    return [one for one in found if one is not None]


def prompt_of(events: Sequence[Event]) -> list[TokenLogprob]:
    return [token for event in events if isinstance(event, PromptScored) for token in event.tokens]


def stream(pair: ModelPair, params: SamplingParams, config: SpeculativeConfig | None = None, **how: Any) -> list[Event]:
    return list(SpeculativeDecoder(pair, config).stream(PROMPT, params, **({"max_tokens": 24} | how)))


def reference(pair: ModelPair, ids: list[int]) -> np.ndarray:
    """log softmax in float64 of what follows each of `ids`."""
    logits = np.asarray(pair.target(mx.array([ids]))[0], dtype=np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("params", [SamplingParams(), WARPED])
def test_they_are_those_of_the_targets_own_distribution(pair: ModelPair, params: SamplingParams) -> None:
    events = stream(pair, params, logprobs=20, prompt_logprobs=True)
    *_, end = events
    assert isinstance(end, GenerationFinished)
    text, tokens = [*PROMPT, *end.token_ids], [*prompt_of(events), *told(events)]
    truth = reference(pair, text)
    assert [token.token_id for token in tokens][: len(text)] == text
    assert tokens[0].logprob is None
    assert not tokens[0].top
    for row, token in zip(truth, tokens[1:], strict=False):
        assert token.logprob == pytest.approx(row[token.token_id], abs=1e-4)
        assert [one.logprob for one in token.top] == pytest.approx(np.sort(row)[::-1][:20], abs=1e-4)
        assert [row[one.token_id] for one in token.top] == pytest.approx([one.logprob for one in token.top], abs=1e-4)


@pytest.mark.parametrize("params", [SamplingParams(), replace(WARPED, top_k=0)])
def test_they_have_the_same_bits_however_an_answer_is_made(pair: ModelPair, params: SamplingParams) -> None:
    plain = told(stream(pair, params, drafter="none", logprobs=3))
    assert len(plain) == 24
    assert len({token.logprob for token in plain}) > 12
    tree = fixed_rounds("2x2")
    ways = [stream(pair, params, fixed_rounds(2), drafter="model", logprobs=3), stream(pair, params, tree, logprobs=3)]
    batch = Batch(SpeculativeDecoder(pair, fixed_rounds(2)))
    for name, seed in (("ours", params.seed), ("other", 99)):
        batch.add(name, PROMPT, replace(params, seed=seed), 24, logprobs=3)
    events: list[Event] = []
    while not batch.is_idle:
        events += [event for name, event in batch.step() if name == "ours"]
    for found in (*map(told, ways), told(events)):
        assert [(one.token_id, *(top.token_id for top in one.top)) for one in found] == [
            (one.token_id, *(top.token_id for top in one.top)) for one in plain
        ]
        exactly = [one.logprob for one in found] == [one.logprob for one in plain]
        assert exactly or not rows_are_independent()
        assert [one.logprob for one in found] == pytest.approx([one.logprob for one in plain], abs=1e-5)


def test_nothing_is_computed_unless_somebody_asked(pair: ModelPair, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(logits: mx.array, token_ids: Sequence[int], count: int) -> list[rows.RowLogprobs]:
        asked.append(len(token_ids))
        return rows.row_logprobs(logits, token_ids, count)

    monkeypatch.setattr(outcome, "row_logprobs", counted)
    monkeypatch.setattr(prompt, "row_logprobs", counted)
    events = stream(pair, SamplingParams(), drafter="model")
    assert not asked
    assert not told(events)
    assert not prompt_of(events)
    events = stream(pair, SamplingParams(), drafter="none", logprobs=0)
    assert asked == [1] * 24, "and of each round only the tokens that it decided"


def test_a_prompt_alone_is_scored_without_a_word_of_an_answer(pair: ModelPair) -> None:
    events = stream(pair, SamplingParams(), max_tokens=0, logprobs=1, prompt_logprobs=True)
    *_, end = events
    assert isinstance(end, GenerationFinished)
    assert (end.finish_reason, end.token_ids, end.stats.rounds) == ("length", (), 0)
    batch = Batch(SpeculativeDecoder(pair))
    batch.add("one", PROMPT, SamplingParams(), 0, logprobs=1, prompt_logprobs=True)
    batch.add("other", PROMPT[:9], SamplingParams(), 5)
    shared: list[tuple[str, Event]] = []
    while not batch.is_idle:
        shared += batch.step()
    assert prompt_of([event for name, event in shared if name == "one"]) == prompt_of(events)
    lengths = {name: len(event.token_ids) for name, event in shared if isinstance(event, GenerationFinished)}
    assert lengths == {"one": 0, "other": 5}


def test_a_prompt_that_is_known_is_read_anew_for_them(pair: ModelPair) -> None:
    decoder = SpeculativeDecoder(pair, prefixes=Prefixes(1 << 24))
    first = list(decoder.stream(PROMPT, SamplingParams(), 4))
    scored = list(decoder.stream(PROMPT, SamplingParams(), 4, logprobs=0, prompt_logprobs=True))
    again = list(decoder.stream(PROMPT, SamplingParams(), 4))
    ends = [one[-1] for one in (first, scored, again)]
    assert [end.cached_tokens for end in ends if isinstance(end, GenerationFinished)] == [0, 0, 64]
    assert len(prompt_of(scored)) == len(PROMPT)


def test_the_token_that_ends_an_answer_is_told_apart(pair: ModelPair) -> None:
    end_id = min(pair.eos_token_ids)
    events = stream(pair, SamplingParams(logit_bias={end_id: 100.0}), logprobs=2)
    (round_,) = [event for event in events if isinstance(event, RoundFinished)]
    assert not round_.emitted
    assert round_.end is not None
    assert (round_.end.token_id, round_.end.text, round_.end.spelled) == (end_id, "<|im_end|>", None)


@pytest.mark.parametrize("count", [-1, 21, True, "3"])
def test_a_number_that_nobody_serves_is_refused(pair: ModelPair, count: Any) -> None:
    with pytest.raises(ConfigError, match="logprobs"):
        stream(pair, SamplingParams(), logprobs=count)


def test_ties_go_to_the_lower_id_and_no_number_is_an_error() -> None:
    tied = rows.row_logprobs(mx.array([[1.0, 2.0, 2.0, 2.0, 0.0]]), [4], 3)[0]
    assert [one for one, _ in tied.top] == [1, 2, 3]
    assert rows.row_logprobs(mx.array([[1.0, 2.0, 2.0]]), [0], 1)[0].top[0][0] == 1
    assert len(rows.row_logprobs(mx.array([[1.0, 2.0]]), [0], 20)[0].top) == 2
    with pytest.raises(NumericalError):
        rows.row_logprobs(mx.array([[1.0, mx.nan]]), [0], 1)
