"""A long prompt's last pass reads its last token too: the first word needs no pass, and no word is another for it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import mlx.core as mx
import pytest

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.config import DrafterName
from mlx_spec.decoder import step
from mlx_spec.decoding import prompt
from mlx_spec.decoding.cache import chunks
from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.cache.chunks import reads_last
from mlx_spec.decoding.drafters.levels import Ask
from mlx_spec.decoding.prompt import read_prompt
from mlx_spec.events import EmittedToken, Event, GenerationFinished, PromptScored, RoundFinished
from mlx_spec.models.loading import ModelPair
from tests.decoding.drafters.published import HIDDEN, LAYERS
from tests.decoding.drafters.test_decoding import heads_for
from tests.tiny import TINY_VOCAB, pair_of, tiny_llama, tiny_pair

LONG = [(7 * at + at * at // 3) % TINY_VOCAB for at in range(230)]
"""Its last pass begins at 224."""
SAMPLED = SamplingParams(temperature=0.9, seed=4)
FIXED = SpeculativeConfig(lookahead=3, adaptive_lookahead=False, acceptance_threshold=0.0)


def told(pair: ModelPair, prompt_ids: Sequence[int], tokens: int = 12, **how: Any) -> list[Event]:
    return list(SpeculativeDecoder(pair, FIXED).stream(prompt_ids, SAMPLED, tokens, **how))


def end_of(events: Sequence[Event]) -> GenerationFinished:
    assert isinstance(events[-1], GenerationFinished)
    return events[-1]


def first_word(pair: ModelPair) -> EmittedToken:
    events = SpeculativeDecoder(pair).stream(LONG, SamplingParams(temperature=0), 1)
    return next(event.emitted[0] for event in events if isinstance(event, RoundFinished))


@pytest.fixture(scope="module")
def headed(tmp_path_factory: pytest.TempPathFactory) -> ModelPair:
    target = tiny_llama(0, layers=LAYERS, hidden=HIDDEN, scale=0.5)
    return replace(pair_of(target, tiny_llama(0, layers=1)), heads=heads_for(target, tmp_path_factory.mktemp("heads")))


def test_it_is_the_last_pass_of_a_long_prompt_unless_nothing_else_is_left_to_read() -> None:
    assert reads_last(224, 230)
    assert reads_last(224, 256)
    assert not reads_last(192, 230)  # it is not the last
    assert not reads_last(224, 225)  # the last token would have a pass of its own in any case
    assert not reads_last(128, 190)  # a first round that drafts is worth as much


def test_the_first_word_takes_no_pass() -> None:
    events = told(tiny_pair(), LONG, drafter="none")
    first, second, *_ = (event for event in events if isinstance(event, RoundFinished))
    assert (len(first.emitted), first.drafted, first.verify_ms, first.draft_ms) == (1, (), 0.0, 0.0)
    assert first.reason == "the last pass over the prompt has said it"
    assert second.verify_ms > 0
    stats = end_of(events).stats
    assert (stats.rounds, stats.target_forward_passes, stats.total_tokens_generated) == (12, 11, 12)


@pytest.mark.in_turn
@pytest.mark.parametrize("drafter", ["model", "ngram", "eagle", "medusa", "dflash", "auto"])
@pytest.mark.parametrize("length", [225, 229, 230, 256, 257])
def test_drafts_change_no_word(headed: ModelPair, drafter: DrafterName, length: int) -> None:
    prompt_ids = (LONG + LONG)[:length]
    plain = end_of(told(headed, prompt_ids, drafter="none")).token_ids
    assert end_of(told(headed, prompt_ids, drafter=drafter)).token_ids == plain


def test_it_is_what_a_pass_over_the_last_token_alone_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for rounding, as prompts attend in another way than rounds."""
    first = first_word(tiny_pair())
    monkeypatch.setitem(chunks._LAST_TOO, mx.cpu, None)
    alone = first_word(tiny_pair())
    assert first.token_id == alone.token_id
    assert first.p == pytest.approx(alone.p, rel=1e-4)


def test_log_probabilities_of_the_prompt_are_of_all_its_tokens() -> None:
    pair = tiny_pair()
    events = told(pair, LONG, logprobs=2, prompt_logprobs=True)
    (scored,) = (event for event in events if isinstance(event, PromptScored))
    assert len(scored.tokens) == len(LONG)
    assert end_of(events).token_ids == end_of(told(pair, LONG, drafter="none")).token_ids


def test_an_answer_of_no_tokens_reads_no_more_than_it_must() -> None:
    events = told(tiny_pair(), LONG, 0, prompt_logprobs=True)
    assert end_of(events).stats.target_forward_passes == 0
    assert not any(isinstance(event, RoundFinished) for event in events)


@pytest.mark.parametrize("eager", [True, False])
def test_a_draft_reads_the_text_again_in_its_order(monkeypatch: pytest.MonkeyPatch, eager: bool) -> None:
    pair, read = tiny_pair(), []
    decoder = SpeculativeDecoder(pair, FIXED, drafter="model")
    answer = decoder.begin(decoder.request(LONG, SAMPLED, 12))
    list(read_prompt(answer, lambda: False))
    for _ in range(3):
        step([answer])
    answer.begin_again()
    monkeypatch.setattr(prompt, "_first_rounds", lambda *_, **__: (eager, lambda: None))
    prefill = CachedModel.prefill

    def heard(self: CachedModel, token_ids: Sequence[int], *args: Any, **how: Any) -> Any:
        read.extend(token_ids if self.model is pair.draft else [])
        return prefill(self, token_ids, *args, **how)

    monkeypatch.setattr(CachedModel, "prefill", heard)
    told, made = prompt.reading_again(answer), None
    while (came := next_of(told, made)) is not None:
        made = came.make([came.given])[0] if isinstance(came, Ask) else None
    drafter = answer.roster._drafters["model"]
    assert [*read, *drafter._pending] == answer.text_ids
    assert bool(read) == eager


def next_of(told: Any, made: Any) -> Any:
    try:
        return told.send(made)
    except StopIteration:
        return None
