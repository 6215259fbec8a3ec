"""The round loop of speculative decoding. Read this first.

One round: the drafter proposes gamma tokens, the target scores them and one known token in a single forward pass,
the acceptance rule keeps a prefix and adds one token of the target's own (a correction, or a bonus after a full
acceptance), and both caches drop what was rejected. Drafting, scoring and verifying are one lazy graph: the host
reads once a round. Plain decoding is the same loop with an empty draft.

Token ids in, events out; knows no HTTP, no terminal and no window.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec.acceptance import RULES, Verdict, coupled, point_mass
from mlx_spec.admission import DrafterName, Lookahead, answer_limit, check_drafter, speculates, with_lookahead
from mlx_spec.cache.rollback import check_rollback
from mlx_spec.config import LOSSY_RULES, SamplingParams, SpeculativeConfig
from mlx_spec.drafters.base import Draft, Drafter, DrawSettings
from mlx_spec.drafters.draft_model import DraftModel
from mlx_spec.events import (
    DraftedToken,
    DraftState,
    EmittedToken,
    Event,
    GenerationFinished,
    PrefillProgress,
    RoundFinished,
    TextDelta,
    TokenKind,
)
from mlx_spec.lookahead import FixedLookahead, LookaheadController, controller
from mlx_spec.models.loading import ModelPair
from mlx_spec.outcome import Outcome, read_outcome
from mlx_spec.penalties import Penalties
from mlx_spec.sampling import NoiseTable, log_distribution, scores
from mlx_spec.stats import SpeculativeStats, StatsCounter
from mlx_spec.target import Target
from mlx_spec.transcript import Transcript

# A chunk of the prompt is one forward pass: large enough to be efficient, small enough for progress and cancelling.
_PREFILL_TOKENS: Final = {mx.cpu: 64, mx.gpu: 512}


class SpeculativeDecoder:
    """Answers prompts with a target model, sped up by a draft.

    Belongs to the thread that loaded the pair, except `stats` and `reset_stats`, which any thread may call. One
    answer at a time; each `stream` starts from an empty cache.
    """

    def __init__(
        self, pair: ModelPair, config: SpeculativeConfig | None = None, *, drafter: DrafterName = "auto"
    ) -> None:
        self._pair = pair
        self._config = config or SpeculativeConfig()
        self._drafter = drafter
        self._stats = StatsCounter()
        check_drafter(drafter, pair)
        if speculates(drafter, pair):  # told now, not with the first request
            check_rollback(make_prompt_cache(pair.target), pair.target_name)
            check_rollback(make_prompt_cache(pair.draft), pair.draft_name or "the draft")

    def stream(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams | None = None,
        max_tokens: int = 256,
        *,
        should_cancel: Callable[[], bool] | None = None,
        drafter: DrafterName | None = None,
        lookahead: Lookahead | None = None,
    ) -> Iterator[Event]:
        """Answer `prompt_ids`, telling each event as it happens.

        `should_cancel` is asked between rounds and between chunks of the prompt. `drafter` and `lookahead` stand in
        for the decoder's own settings. Raises PromptError, ConfigError or UnsupportedModelError before the first event,
        NumericalError when the model's logits are not numbers.
        """
        params = params or SamplingParams()
        name = drafter or self._drafter
        check_drafter(name, self._pair)
        config = with_lookahead(self._config, lookahead)
        limit = answer_limit(self._pair, config, prompt_ids, max_tokens)
        if params.seed is None:
            params = replace(params, seed=secrets.randbits(32))
        loop = _RoundLoop(self._pair, config, params, speculates(name, self._pair), limit, self._stats)
        return loop.run([int(token_id) for token_id in prompt_ids], should_cancel or (lambda: False))

    def generate(self, prompt: str, params: SamplingParams | None = None, max_tokens: int = 256) -> str:
        """Answer one user message, through the chat template where the model has one; returns the text."""
        text = ""
        for event in self.stream(self._pair.encode_chat([{"role": "user", "content": prompt}]), params, max_tokens):
            if isinstance(event, TextDelta):
                text += event.text
        return text

    def calibrate(self, steps: int = 6) -> float:
        """Time plain decoding (median milliseconds a step, short context), so that `stats().speedup` is measured."""
        loop = _RoundLoop(
            self._pair, self._config, SamplingParams(seed=0), False, steps + 1, StatsCounter(), endless=True
        )
        rounds = [event for event in loop.run([0, 0], lambda: False) if isinstance(event, RoundFinished)]
        times = sorted(event.round_ms for event in rounds[1:] or rounds)
        step_ms = times[len(times) // 2]
        self._stats.add(SpeculativeStats(plain_step_ms=step_ms))
        return step_ms

    def stats(self) -> SpeculativeStats:
        """A snapshot of the counters over all answers."""
        return self._stats.snapshot()

    def reset_stats(self) -> SpeculativeStats:
        """Set the counters to zero; returns what they were."""
        return self._stats.reset()


class _RoundLoop:
    """One answer: its models with their caches, its randomness and its rounds."""

    def __init__(
        self,
        pair: ModelPair,
        config: SpeculativeConfig,
        params: SamplingParams,
        speculate: bool,
        max_tokens: int,
        stats: StatsCounter,
        *,
        endless: bool = False,
    ) -> None:
        assert params.seed is not None
        self._config, self._params, self._seed = config, params, params.seed
        self._noise = NoiseTable(params.seed, pair.vocab_size)
        self._penalties = Penalties(params, pair.vocab_size)
        self._target = Target(pair.target, pair.target_name, speculative=speculate)
        self._drafter = _draft_model(pair, config, params, self._noise, self._penalties) if speculate else None
        self._controller: LookaheadController = controller(config) if speculate else FixedLookahead(0)
        eos_token_ids: frozenset[int] = frozenset() if endless else pair.eos_token_ids
        self._transcript = Transcript(pair.tokenizer, eos_token_ids, params.stop, max_tokens)
        self._stats = stats
        self._own_stats = StatsCounter()
        self._position = 0  # of the next token to decide
        self._last_token = -1

    def run(self, prompt_ids: list[int], should_cancel: Callable[[], bool]) -> Iterator[Event]:
        """Prompt, rounds, end."""
        prefill_ms = 0.0
        for event in self._prefill(prompt_ids, should_cancel):
            yield event
            prefill_ms = event.elapsed_ms
        index = 0
        while self._transcript.finish_reason is None:
            if should_cancel():
                self._transcript.finish("cancelled")
            else:
                yield self._round(index)
                index += 1
            if text := self._transcript.take_text():
                yield TextDelta(text)
        yield self._finished(len(prompt_ids), prefill_ms)

    def _prefill(self, prompt_ids: list[int], should_cancel: Callable[[], bool]) -> Iterator[PrefillProgress]:
        """Process all of the prompt but its last token, which the first round scores together with its drafts."""
        started = time.perf_counter()
        self._penalties.read_prompt(prompt_ids)
        known, self._last_token = prompt_ids[:-1], prompt_ids[-1]
        yield PrefillProgress(0, len(prompt_ids), 0.0)
        step = _PREFILL_TOKENS[mx.default_device().type]
        for begin in range(0, len(known), step):
            if should_cancel():
                self._transcript.finish("cancelled")
                return
            chunk = known[begin : begin + step]
            self._target.prefill(chunk)
            if self._drafter is not None:
                self._drafter.prefill(chunk)
            mx.clear_cache()
            yield PrefillProgress(begin + len(chunk), len(prompt_ids), (time.perf_counter() - started) * 1e3)
        self._position = len(prompt_ids)
        if self._drafter is not None:
            self._drafter.commit([self._last_token], accepted=0)
        yield PrefillProgress(len(prompt_ids), len(prompt_ids), (time.perf_counter() - started) * 1e3)

    def _round(self, index: int) -> RoundFinished:
        started = time.perf_counter()
        gamma = min(self._controller.length, self._transcript.remaining - 1)
        draft = self._drafter.propose(self._position, gamma, index) if self._drafter and gamma > 0 else None
        if draft is not None:
            # The draft runs while Python builds the target's graph.
            mx.async_eval(draft.token_ids)  # type: ignore[no-untyped-call]
        logits = self._target.score(self._last_token, draft.token_ids if draft else None)
        rows = scores(self._penalties.apply(logits, draft.token_ids if draft else None), self._params)
        verdict = self._verify(rows, draft, index)
        if draft is not None:
            mx.eval(draft.token_ids)  # a wait, not a read: it only tells the two times apart
        drafted = time.perf_counter()
        outcome = read_outcome(verdict, rows, draft)
        verified = time.perf_counter()

        emitted = self._emit(outcome, speculated=draft is not None)
        outcome = outcome.ended_after(len(emitted))
        self._commit(outcome)
        self._controller.observe(outcome.tested, outcome.accepted, outcome.ratios())
        self._count(outcome, len(emitted), (started, drafted, verified))
        return RoundFinished(
            index=index,
            lookahead=max(0, gamma),
            next_lookahead=self._controller.length,
            drafted=self._drafted(outcome),
            emitted=tuple(emitted),
            draft_ms=(drafted - started) * 1e3 if draft else 0.0,
            verify_ms=(verified - (drafted if draft else started)) * 1e3,
            round_ms=(time.perf_counter() - started) * 1e3,
        )

    def _verify(self, rows: mx.array, draft: Draft | None, index: int) -> Verdict:
        """The acceptance rule over the target's scores `[gamma + 1, vocab]`."""
        draft_ids = draft.token_ids if draft else mx.zeros((0,), dtype=mx.int32)
        gamma = draft_ids.shape[0]
        if self._params.greedy:
            return coupled(rows, draft_ids, None)
        if self._config.acceptance == "coupled":
            return coupled(rows, draft_ids, self._noise.rows(self._position, gamma + 1))
        if draft is None or draft.scores is None or draft.greedy:
            log_q = point_mass(draft_ids, rows.shape[-1])
        else:
            log_q = log_distribution(draft.scores)
        rule = RULES[self._config.acceptance]
        return rule(log_distribution(rows), log_q, draft_ids, seed=self._seed, position=self._position, salt=index)

    def _emit(self, outcome: Outcome, *, speculated: bool) -> list[EmittedToken]:
        """Add the round's tokens to the answer, as far as it goes on."""
        emitted = []
        for i, token_id in enumerate(outcome.token_ids):
            text = self._transcript.push(token_id)
            if text is None:
                break
            accepted = i < outcome.accepted
            kind: TokenKind = "accepted" if accepted else "plain"
            if speculated and not accepted:
                kind = "bonus" if outcome.accepted == len(outcome.draft_ids) else "correction"
            p = outcome.drafted_p[i] if accepted else outcome.next_p
            q = outcome.drafted_q[i] if accepted else None
            emitted.append(EmittedToken(token_id, text, kind, p, q, self._position + i))
        return emitted

    def _commit(self, outcome: Outcome) -> None:
        """Bring both caches, the position and the noise in step with the answer."""
        self._target.commit(outcome.accepted)
        if self._drafter is not None:
            self._drafter.commit(outcome.token_ids, outcome.accepted)
        self._position += len(outcome.token_ids)
        self._noise.forget_before(self._position)
        self._penalties.push(outcome.token_ids)
        self._last_token = outcome.token_ids[-1]

    def _drafted(self, outcome: Outcome) -> tuple[DraftedToken, ...]:
        tokens = []
        for i, token_id in enumerate(outcome.draft_ids):
            state: DraftState = "accepted" if i < outcome.accepted else "rejected" if i < outcome.tested else "untested"
            p = outcome.drafted_p[i] if i < outcome.tested else None
            tokens.append(DraftedToken(token_id, self._transcript.peek(token_id), p, outcome.drafted_q[i], state))
        return tuple(tokens)

    def _count(self, outcome: Outcome, emitted: int, times: tuple[float, float, float]) -> None:
        started, drafted, verified = times
        gamma = len(outcome.draft_ids)
        change = SpeculativeStats(
            draft_tokens=gamma,
            tested_tokens=outcome.tested,
            accepted_tokens=outcome.accepted,
            rounds=1,
            target_forward_passes=1,
            draft_forward_passes=gamma,
            total_tokens_generated=emitted,
            draft_time_ms=(drafted - started) * 1e3 if gamma else 0.0,
            target_time_ms=(verified - (drafted if gamma else started)) * 1e3,
            total_time_ms=(time.perf_counter() - started) * 1e3,
            lossless=not gamma or self._params.greedy or self._config.acceptance not in LOSSY_RULES,
        )
        self._stats.add(change)
        self._own_stats.add(change)

    def _finished(self, prompt_tokens: int, prefill_ms: float) -> GenerationFinished:
        own = self._own_stats.snapshot()
        assert self._transcript.finish_reason is not None
        return GenerationFinished(
            finish_reason=self._transcript.finish_reason,
            token_ids=tuple(self._transcript.token_ids),
            text=self._transcript.text,
            seed=self._seed,
            prompt_tokens=prompt_tokens,
            prefill_ms=prefill_ms,
            stats=replace(own, plain_step_ms=self._stats.snapshot().plain_step_ms),
        )


def _draft_model(
    pair: ModelPair, config: SpeculativeConfig, params: SamplingParams, noise: NoiseTable, penalties: Penalties
) -> Drafter:
    temperature = params.temperature if config.draft_temperature is None else config.draft_temperature
    top_p = params.top_p if config.draft_top_p == 1.0 else config.draft_top_p
    assert params.seed is not None
    drawn = replace(params, temperature=temperature, top_p=top_p)
    draw = DrawSettings(drawn, config.acceptance, params.seed, noise, penalties)
    return DraftModel(pair.draft, pair.draft_name or "the draft", draw)
