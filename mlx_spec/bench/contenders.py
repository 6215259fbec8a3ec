"""The ways of decoding that are compared. Each answers token ids, and tells what it did and how long it took.

Prompts are processed before the clock starts: a time is that of decoding alone, from the first round to the last token,
as whoever consumes the stream sees it.
"""

import copy
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, cast

import mlx.core as mx
from mlx_lm.generate import generate_step, speculative_generate_step
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.sample_utils import make_sampler

from mlx_spec.bench.plan import (
    BASELINE,
    FIXED,
    MLX_LM_SPECULATION,
    PLAIN,
    RULES,
    BenchPlan,
    Way,
    drafter_of,
    way_of,
)
from mlx_spec.config import AcceptanceRule, DrafterName, SamplingParams, SpeculativeConfig, fixed_rounds
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.decoding.admission import HEADS
from mlx_spec.decoding.cache.chunks import chunk_tokens
from mlx_spec.decoding.cache.making import make_caches
from mlx_spec.decoding.constraints.following import matcher_of
from mlx_spec.decoding.constraints.wanted import Constraint
from mlx_spec.errors import ModelError
from mlx_spec.events import GenerationFinished, PrefillProgress, RoundFinished
from mlx_spec.models.loading import ModelPair


@dataclass(frozen=True, slots=True)
class Answer:
    """What a contender did; the fields are those of `Run`."""

    token_ids: tuple[int, ...]
    seconds: float
    host_seconds: float
    rounds_by_draft: tuple[tuple[int, int], ...]
    tested: int
    accepted: int
    draft_passes: int | None
    draft_ms: float | None = None
    verify_ms: float | None = None


OTHER_PASSES: Final = {*HEADS, "self"}
"""Drafters whose passes are not the draft model's."""


Answering = Generator[int, None, Answer]
"""Yields how many tokens there are so far, and returns the answer."""


class Contender(Protocol):
    """One way of decoding."""

    def answering(self, prompt_ids: Sequence[int], temperature: float, seed: int, max_tokens: int) -> Answering:
        """Answer one prompt step by step; what happens between two steps does not count."""
        ...

    def answer(self, prompt_ids: Sequence[int], temperature: float, seed: int, max_tokens: int) -> Answer:
        """Answer one prompt, all steps at once."""
        steps = self.answering(prompt_ids, temperature, seed, max_tokens)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                answer: Answer = end.value
                return answer

    def warm_up(self, prompt_ids: Sequence[int], temperatures: Iterable[float], max_tokens: int) -> None:
        """Allocate, compile and page in what later answers would wait for."""
        for temperature in temperatures:
            self.answer(prompt_ids, temperature, 0, max_tokens)


class Ours(Contender):
    """This engine's decoder. Where nothing is fixed the cost controller chooses, from calibrated costs."""

    def __init__(
        self,
        pair: ModelPair,
        way: Way,
        rule: AcceptanceRule = "coupled",
        tell: Callable[[str, float], None] = lambda stage, fraction: None,
        kv_bits: int | None = None,
    ) -> None:
        shape = way.length or way.tree
        config = fixed_rounds(shape, rule) if shape else SpeculativeConfig(tree_speculation=way.trees)
        config = replace(config, kv_bits=kv_bits)
        self._decoder = SpeculativeDecoder(pair, config, drafter=cast(DrafterName, way.drafter))
        if config.adaptive_lookahead and way.drafter != "none":
            self._decoder.calibrate(tell)
        self._chooses = config.adaptive_lookahead
        self.constraint: Constraint | None = None
        """What the next answers must look like."""

    def warm_up(self, prompt_ids: Sequence[int], temperatures: Iterable[float], max_tokens: int) -> None:
        """As of any contender; where lengths are chosen also all that may be, as the server does when it is idle."""
        super().warm_up(prompt_ids, temperatures, max_tokens)
        for _ in self._decoder.warm_up() if self._chooses else ():
            pass

    def answering(self, prompt_ids: Sequence[int], temperature: float, seed: int, max_tokens: int) -> Answering:
        """The answer of `SpeculativeDecoder.stream`."""
        rounds: Counter[int] = Counter()
        drafters: set[str | None] = set()
        given = 0
        clock = _Clock()
        params = SamplingParams(temperature=temperature, seed=seed)
        for event in self._decoder.stream(prompt_ids, params, max_tokens, constraint=self.constraint):
            if isinstance(event, RoundFinished):
                rounds[len(event.drafted)] += 1
                drafters.add(event.drafter)
                given += len(event.emitted)
                yield from clock.pausing(given)
            elif isinstance(event, PrefillProgress):
                clock = _Clock()
            elif isinstance(event, GenerationFinished):
                seconds, host_seconds = clock.read()
                stats = event.stats
                return Answer(
                    event.token_ids,
                    seconds,
                    host_seconds,
                    tuple(sorted(rounds.items())),
                    stats.tested_tokens,
                    stats.accepted_tokens,
                    None if drafters & OTHER_PASSES else stats.draft_forward_passes,
                    stats.draft_time_ms,
                    stats.target_time_ms,
                )
        raise AssertionError("a stream ends with GenerationFinished")


class MlxLm(Contender):
    """mlx-lm's own generators, plain where `length` is 0, on a cache that holds the prompt already, in `kv_bits`."""

    def __init__(self, pair: ModelPair, length: int = 0, kv_bits: int | None = None) -> None:
        self._pair, self._length, self._kv_bits = pair, length, kv_bits
        self.constraint: Constraint | None = None
        """What the next answers must look like; of plain decoding only."""

    def answering(self, prompt_ids: Sequence[int], temperature: float, seed: int, max_tokens: int) -> Answering:
        """The answer of `generate_step` or `speculative_generate_step`."""
        mx.random.seed(seed)
        empty = make_caches(self._pair.target, self._pair.target_name, self._kv_bits)
        cache = prefilled(self._pair.target, prompt_ids[:-1], empty)
        if self._length:
            cache += prefilled(self._pair.draft, prompt_ids[:-1])
        clock = _Clock()
        counter = _RoundCounter(self._length, max_tokens)
        for token, from_draft in self._stream(mx.array(list(prompt_ids[-1:])), temperature, max_tokens, cache):
            counter.add(token, from_draft)
            yield from clock.pausing(len(counter.token_ids))
            if token in self._pair.eos_token_ids:
                break
        seconds, host_seconds = clock.read()
        token_ids = counter.token_ids
        if token_ids and token_ids[-1] in self._pair.eos_token_ids:
            token_ids.pop()
        rounds = tuple(sorted(counter.rounds.items()))
        passes = sum(drafted * times for drafted, times in rounds)
        return Answer(tuple(token_ids), seconds, host_seconds, rounds, counter.tested, counter.accepted, passes)

    def _stream(
        self, prompt: mx.array, temperature: float, max_tokens: int, cache: list[Any]
    ) -> Iterator[tuple[int, bool]]:
        """Tokens, and whether each came from the draft."""
        options: dict[str, Any] = {
            "max_tokens": max_tokens,
            "sampler": make_sampler(temp=temperature),
            "prompt_cache": cache,
        }
        if self.constraint is not None:
            options["logits_processors"] = [_masking(self._pair, self.constraint)]
        if not self._length:
            for token, _ in generate_step(prompt, self._pair.target, **options):
                yield int(token), False
            return
        target, draft = self._pair.target, self._pair.draft
        for token, _, from_draft in speculative_generate_step(
            prompt, target, draft, num_draft_tokens=self._length, **options
        ):
            yield int(token), bool(from_draft)


def _masking(pair: ModelPair, constraint: Constraint) -> Callable[[mx.array, mx.array], mx.array]:
    """Our own masks as mlx-lm takes them: it is handed all tokens so far, the prompt's last among them."""
    matcher = matcher_of(pair, constraint, (), goes_on=True)
    assert matcher is not None
    begun = False

    def process(token_ids: mx.array, logits: mx.array) -> mx.array:
        nonlocal begun
        if begun:
            matcher.push([cast(int, token_ids[-1].item())])
        begun = True
        return matcher.apply(logits, None, None)

    return process


class _Clock:
    """Seconds since it was made: on the wall, and of the processor in this thread. MLX computes in threads of its own,
    or on the GPU, so the latter are the host's: Python, and the building of graphs."""

    def __init__(self) -> None:
        self._wall, self._thread = time.perf_counter(), time.thread_time()

    def read(self) -> tuple[float, float]:
        """Both."""
        return time.perf_counter() - self._wall, time.thread_time() - self._thread

    def pausing(self, given: int) -> Iterator[int]:
        """Hand over `given`, and stand still meanwhile."""
        wall, thread = time.perf_counter(), time.thread_time()
        yield given
        self._wall += time.perf_counter() - wall
        self._thread += time.thread_time() - thread


class _RoundCounter:
    """Tells rounds apart in a stream of tokens: a token that is not from the draft ends one.

    mlx-lm drafts `length` tokens a round, and near the end no more than are still wanted.
    """

    def __init__(self, length: int, max_tokens: int) -> None:
        self._length, self._max_tokens = length, max_tokens
        self.token_ids: list[int] = []
        self.rounds: Counter[int] = Counter()
        self.tested = self.accepted = 0
        self._drafted = self._accepted_here = 0
        self._within = False

    def add(self, token_id: int, from_draft: bool) -> None:
        """Count one token."""
        if not self._within:
            self._drafted = min(self._length, self._max_tokens - len(self.token_ids))
            self.rounds[self._drafted] += 1
            self._accepted_here = 0
        self.token_ids.append(token_id)
        self._within = from_draft
        if from_draft:
            self._accepted_here += 1
            self.accepted += 1
            self.tested += 1
        else:  # a correction stands where a draft was tested and rejected, a bonus behind the last of them
            self.tested += self._accepted_here < self._drafted


def prefilled(model: Any, prompt_ids: Sequence[int], cache: list[Any] | None = None) -> list[Any]:
    """mlx-lm's cache of a model, holding `prompt_ids` (behind what `cache` holds already)."""
    # The decoder's own chunks, so that reading the prompt takes no contender more memory than another.
    cache = make_prompt_cache(model) if cache is None else cache
    step = chunk_tokens()
    for begin in range(0, len(prompt_ids), step):
        model(mx.array(list(prompt_ids[begin : begin + step]))[None], cache=cache)
        mx.eval([layer.state for layer in cache])
        mx.clear_cache()
    return cache


def make_contender(
    name: str, pair: ModelPair, plan: BenchPlan, tell: Callable[[str, float], None] = lambda stage, fraction: None
) -> Contender:
    """A contender by its name. `tell` hears of the calibration, where it needs one. Raises ModelError."""
    if (obstacle := why_not(name, pair)) is not None:
        raise ModelError(obstacle)
    if name == BASELINE:
        return MlxLm(pair, kv_bits=plan.kv_bits)
    if name == MLX_LM_SPECULATION:
        return MlxLm(pair, plan.lookahead, plan.kv_bits)
    if name == PLAIN:
        return Ours(pair, Way("none"), kv_bits=plan.kv_bits)
    if name == FIXED:
        return Ours(pair, Way("model", plan.lookahead), kv_bits=plan.kv_bits)
    if name in RULES:
        return Ours(pair, Way("model", plan.lookahead), cast(AcceptanceRule, name), kv_bits=plan.kv_bits)
    way = way_of(name)
    assert way is not None, "the plan knows its contenders"
    return Ours(pair, way, tell=tell, kv_bits=plan.kv_bits)


def why_not(name: str, pair: ModelPair) -> str | None:
    """Why a pair cannot be decoded in a contender's way, as a sentence; None where it can."""
    needed = drafter_of(name)
    if needed == "model" and pair.draft is None:
        return f"{pair.name} has no draft model, so {name} cannot be measured: name one with --draft."
    if needed in HEADS and needed not in pair.heads:
        return f"{pair.name} has no {needed} head, so {name} cannot be measured: name one with --draft."
    if name == MLX_LM_SPECULATION and pair.token_map is not None:
        return f"mlx-lm's speculation cannot use {pair.draft_name}: its vocabulary is not {pair.target_name}'s."
    return None


def without_end(pair: ModelPair) -> ModelPair:
    """The pair, with no token that ends an answer."""
    tokenizer = copy.copy(pair.tokenizer)
    tokenizer.eos_token_ids = []
    return replace(pair, tokenizer=tokenizer)
