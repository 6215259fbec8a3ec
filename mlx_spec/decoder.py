"""Speculative decoding. Read this first.

One round: the drafter proposes gamma tokens, the target scores them and one known token in a single forward pass,
the acceptance rule keeps a prefix and adds one token of the target's own (a correction, or a bonus after a full
acceptance), and all caches drop what was rejected. Plain decoding is the same round with an empty draft.

`step` is that round, for as many answers as are under way; `SpeculativeDecoder` reads a prompt, and steps until the
answer ends. Token ids in, events out; knows no HTTP, no terminal and no window.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from types import EllipsisType
from typing import Unpack

from mlx_spec.config import (
    DrafterName,
    Exactness,
    ExactnessChoice,
    SamplingParams,
    SpeculativeConfig,
    check_exactness,
)
from mlx_spec.decoding.admission import admit, check_drafter, drafting, is_prompt, within
from mlx_spec.decoding.answer import Answer
from mlx_spec.decoding.cache.blocks.pool import BLOCK_TOKENS, LEAST_BLOCK_BYTES, BlockPool
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes, PrefixStats
from mlx_spec.decoding.cache.blocks.text import shared_length
from mlx_spec.decoding.cache.chunks import LEAST_OPENING
from mlx_spec.decoding.cache.making import check_kv_bits, make_caches
from mlx_spec.decoding.cache.rows.widths import RowWidths
from mlx_spec.decoding.cache.stretches import token_bytes
from mlx_spec.decoding.knowledge import Knowledge
from mlx_spec.decoding.measuring.ceiling import Ceiling, measured_ceiling
from mlx_spec.decoding.phases import launch, settle, tell, verify
from mlx_spec.decoding.prompt import read_prompt
from mlx_spec.decoding.request import AnswerOptions, Request
from mlx_spec.decoding.settling import nothing, read_ahead
from mlx_spec.decoding.steering import Steering
from mlx_spec.decoding.tally import StatsCounter
from mlx_spec.decoding.warming import trial_answers
from mlx_spec.events import Event, GenerationFinished, RoundFinished, SpeculativeStats, TextDelta
from mlx_spec.lookahead.costs import Calibration
from mlx_spec.lookahead.fixed import FixedLookahead
from mlx_spec.lookahead.plan import LookaheadController
from mlx_spec.models.loading import ModelPair
from mlx_spec.models.memory import memory_info


def step(answers: Sequence[Answer]) -> list[RoundFinished]:
    """One round of every answer; what each of them gained. One that cannot go on has a `failure`, and gains nothing.

    As soon as the tokens are known the next round is launched: the device works on it while Python makes words and
    events of them. But an answer's first words wait for no draft, which may have much to read. Their words do not
    depend on each other; how far is drafted for each is chosen for all together.
    """
    launch([answer for answer in answers if answer.round is None])  # plans, and their drafts under way
    verify(answers)  # score and judge: lazily, nothing is read yet
    rounds = settle(answers)  # read, learn, commit
    if all(done.round.index for done in rounds):
        launch([done.answer for done in rounds if done.goes_on])
    return tell(rounds)


class SpeculativeDecoder:
    """Answers prompts with a target model, sped up by a draft.

    Belongs to the thread that loaded the pair, except `stats`, `reset_stats` and `prefix_stats`, which any thread may
    call. One answer at a time; each `stream` starts from an empty cache, or, with `prefixes`, from what an earlier
    answer has read of the same beginning. What it learns about costs and acceptance serves its later answers.
    """

    def __init__(
        self,
        pair: ModelPair,
        config: SpeculativeConfig | None = None,
        *,
        drafter: DrafterName = "auto",
        prefixes: Prefixes | None = None,
    ) -> None:
        self._pair = pair
        self._config = config or SpeculativeConfig()
        self._drafter = drafter
        self._prefixes = prefixes
        self._settling: Generator[None] = nothing()
        self._expected: Sequence[Sequence[int]] = ()
        self._newest: Request | None = None
        self._to_read: list[Sequence[int]] = []  # for the newest request's owner, when there is time
        self._stats = StatsCounter()
        self._knowledge = Knowledge(pair)
        self.ceiling: Ceiling | None = None
        """The fastest that plain decoding could be here; None until `measure_ceiling`."""
        check_drafter(drafter, pair)
        drafting(drafter, pair)  # what cannot be rolled back is told now, not with the first request
        check_kv_bits(pair.target, pair.target_name, self._config.kv_bits)
        if prefixes is not None:
            prefixes.size_blocks(prefixes.block_tokens * self._token_bytes())
        self._pool = prefixes.pool if prefixes is not None else None

    def stream(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams | None = None,
        max_tokens: int = 256,
        *,
        should_cancel: Callable[[], bool] | None = None,
        steering: Steering | None = None,
        **options: Unpack[AnswerOptions],
    ) -> Iterator[Event]:
        """Answer `prompt_ids` in at most `max_tokens` tokens, telling each event as it happens.

        `should_cancel` is asked between rounds and between chunks of the prompt. What `steering` holds counts from the
        start, what it is told later from the round after that. `options` are those of `AnswerOptions`. Raises
        PromptError, ConfigError, GrammarError or UnsupportedModelError before the first event, NumericalError when the
        model's logits are not numbers, and GrammarError when a grammar grows too complex on the way.
        """
        request = self.request(prompt_ids, params, max_tokens, steered=steering is not None, **options)
        return self._answered(self.begin(request, steering), should_cancel or (lambda: False))

    def request(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams | None = None,
        max_tokens: int = 256,
        *,
        steered: bool = False,
        **options: Unpack[AnswerOptions],
    ) -> Request:
        """What `stream` is asked, checked: for those who have answers of their own under way. Raises what it raises."""
        self._settling.close()
        self._to_read = []
        exact, widths = self.exactness(options.get("exactness"))
        options["drafter"] = options.get("drafter") or self._drafter
        request = admit(
            self._pair,
            replace(self._config, exactness=exact),
            prompt_ids,
            params or SamplingParams(),
            max_tokens,
            steered=steered,
            kv_tokens=self._prefixes.capacity_tokens if self._prefixes is not None else None,
            **options,
        )
        request = within(request, exact, widths)
        expected, self._expected = self._expected, ()
        parts_at = frozenset(shared_length(request.prompt_ids, ids) for ids in expected)
        return replace(
            request,
            parts_at=parts_at,
            rows_hold=self._knowledge.rows_hold(self._config),
            opening_ids=self._opening_ids,
            turn_ids=self._turn_ids,
        )

    def begin(self, request: Request, steering: Steering | None = None) -> Answer:
        """An answer that has read nothing; it is to be ended by `finish` or `keep`, or to `give_up`."""

        def choose(config: SpeculativeConfig, drafters: Sequence[str]) -> LookaheadController:
            if not drafters:
                return FixedLookahead(0, shared=self._knowledge.shared(request.widest))
            return self._knowledge.controller(config, request.params, request.widest)

        return Answer(self._pair, request, choose, self._stats, steering)

    def _answered(self, answer: Answer, should_cancel: Callable[[], bool]) -> Iterator[Event]:
        """Prompt, rounds, end; behind the end, what was read and learnt is kept."""
        try:
            yield from read_prompt(answer, should_cancel, self._prefixes)
            while not answer.is_finished:
                told: list[Event] = []
                if should_cancel():
                    answer.transcript.finish("cancelled")
                else:
                    told += step([answer])
                if answer.failure is not None:
                    raise answer.failure
                if text := answer.transcript.take_text():
                    told.append(TextDelta(text))
                given = time.perf_counter()
                yield from told
                answer.away_ms = (time.perf_counter() - given) * 1e3
            yield self.finish(answer)
        except GeneratorExit:  # nobody wants the rest
            self.keep(answer)
            raise
        except BaseException:  # an interruption too: a block that nobody gives back is lost for good
            answer.give_up()
            raise
        self.keep(answer)

    def finish(self, answer: Answer) -> GenerationFinished:
        """Write down what an answer has shown of the drafters; its last event."""
        self._knowledge.keep(answer.request.config, answer.request.params)
        return answer.finished()

    def keep(self, answer: Answer) -> None:
        """Keep what an answer has read for those to come, and give its blocks back. It is over."""
        if self._prefixes is None:
            answer.give_up()
            return
        self._prefixes.count(answer.num_cached)
        self._newest, self._to_read = answer.request, [answer.text_ids[: answer.num_read]]
        answer.leave(self._prefixes)

    def expect(self, *texts: Sequence[int], owner: str | EllipsisType | None = ...) -> None:
        """Tell what prompts to come will begin with, the likeliest first; they are the newest request's owner's, unless
        an `owner` is named.

        `settle` reads that, in the place of what the newest answer said. And the next `stream` makes sure that those
        can begin where its own prompt parts from them, with models that cannot begin just anywhere. Texts that are too
        long to be a prompt are left out. Without `prefixes` nothing comes of it.
        """
        self._settling.close()
        self._expected = texts
        if self._prefixes is not None and self._newest is not None:
            room = self._prefixes.capacity_tokens
            self._to_read = [ids for ids in texts if len(ids) < room and is_prompt(self._pair, self._config, ids)]
            if not isinstance(owner, EllipsisType):
                self._newest = replace(self._newest, owner=owner)

    def settle(self) -> Iterator[None]:
        """Read what prompts to come will begin with, as a prompt is read, as far as it is not known: such a prompt then
        begins behind all of it, with the very bits that it would read itself. It is what was told to `expect` since the
        newest answer; else what that said itself, where its rounds have other bits than a prompt.

        For idle moments; may be given up after any step, and is by the next answer; asked again, it goes on. Nothing to
        do without `prefixes`."""
        self._settling.close()
        if self._prefixes is not None and self._prefixes.keeps:
            self._settling = read_ahead(self._pair, self._newest, self._to_read, self._prefixes)
        return self._settling

    def generate(self, prompt: str, params: SamplingParams | None = None, max_tokens: int = 256) -> str:
        """Answer one user message, through the chat template where the model has one; returns the text."""
        prompt_ids = self._pair.encode_chat([{"role": "user", "content": prompt}])
        events = self.stream(prompt_ids, params, max_tokens)
        return "".join(event.text for event in events if isinstance(event, TextDelta))

    def calibrate(self, tell: Callable[[str, float], None] = lambda stage, fraction: None) -> Calibration:
        """Measure what passes of this pair cost on this machine, or read it from the disk and check it.

        Serves `adaptive_lookahead`, and makes `stats().speedup` a measured number. `tell(stage, fraction)` hears of
        progress. Decoding works without it, and then learns the costs from its first rounds. From then on, what the
        drafters show is kept on disk too, for decoders to come.
        """
        calibration = self._knowledge.calibrate(self._config, drafting(self._drafter, self._pair), tell)
        self._stats.add(SpeculativeStats(plain_step_ms=calibration.plain_step_ms))
        return calibration

    def measure_ceiling(self, tell: Callable[[str, float], None] = lambda stage, fraction: None) -> Ceiling:
        """Measure how fast this machine's memory is, or read it from the disk, for what `ceiling` tells."""
        self.ceiling = measured_ceiling(self._pair.target, tell, self._stats.snapshot().plain_step_ms)
        return self.ceiling

    def warm_up(self) -> Iterator[None]:
        """Do a round of each length and tree that may be drafted, and of two answers at once, and forget it: graphs and
        kernels are built then, and ways of passes tried, which the first answers would wait for. Then read what every
        chat begins with. May be given up after any step."""
        for answers in trial_answers(self._pair, self._config, self._drafter):
            for answer in answers:
                for _ in read_prompt(answer, lambda: False):
                    pass
            step(answers)
            yield
        if self._prefixes is not None and self._prefixes.keeps and self._opening_ids and self._newest is None:
            request = self.request((*self._opening_ids, 0))
            yield from read_ahead(self._pair, request, [self._opening_ids], self._prefixes)

    def exactness(self, choice: ExactnessChoice | None = None) -> tuple[Exactness, RowWidths]:
        """What comes of a choice, the decoder's own where there is none, and how wide the target's passes may be so
        that it does. Where strict is asked for and nobody has measured that, it is measured now. Raises ConfigError."""
        check_exactness(choice or "auto")
        return self._knowledge.exactness(self._config, choice or self._config.exactness)

    @property
    def row_widths(self) -> RowWidths | None:
        """Up to how many rows a pass of the target may have so that each has the bits that it has alone; None where
        that was not measured, which `calibrate` does."""
        return self._knowledge.widths(self._config)

    def measure_wide(self) -> Iterator[None]:
        """Measure what passes cost that are as wide as many answers make them, a pass a step, or read it from the disk.
        For idle moments behind `calibrate`; until then what its passes cost is drawn on. Drafts of answers that share a
        step fill no pass beyond the widest that was measured."""
        return self._knowledge.measure_wide(self._config, drafting(self._drafter, self._pair))

    @property
    def vocab_size(self) -> int:
        """Of the target, as far as it has words."""
        return self._pair.vocab_size

    @property
    def prefixes(self) -> Prefixes | None:
        """Where what answers have read is kept, if it is."""
        return self._prefixes

    def pool(self) -> BlockPool:
        """The blocks that answers share with texts that are kept; where nothing is kept, as many as the machine has
        memory for."""
        if self._pool is None:
            self._pool = BlockPool(memory_info().available_bytes // self.block_bytes)
        return self._pool

    @cached_property
    def _opening_ids(self) -> tuple[int, ...]:
        """What every chat begins with, where that is worth a pass of its own."""
        ids = self._pair.encode_plain_opening()
        return tuple(ids) if len(ids) >= LEAST_OPENING else ()

    @cached_property
    def _turn_ids(self) -> tuple[int, ...]:
        """With what every question of a chat begins but the first."""
        return tuple(self._pair.encode_turn())

    @cached_property
    def block_bytes(self) -> int:
        """What a block of the pool holds."""
        if self._prefixes is not None:
            return self._prefixes.stats.block_bytes
        return max(LEAST_BLOCK_BYTES, BLOCK_TOKENS * self._token_bytes())

    def _token_bytes(self) -> int:
        """What keys and values of a token take, the draft's included."""
        pair = self._pair
        caches = make_caches(pair.target, pair.target_name, self._config.kv_bits)
        size = token_bytes(pair.target, caches)
        if pair.draft is not None:
            size += token_bytes(pair.draft, make_caches(pair.draft, pair.draft_name or "the draft"))
        return size

    def stats(self) -> SpeculativeStats:
        """A snapshot of the counters over all answers."""
        return self._stats.snapshot()

    def reset_stats(self) -> SpeculativeStats:
        """Set the counters to zero; returns what they were."""
        return self._stats.reset()

    def prefix_stats(self) -> PrefixStats:
        """What `prefixes` have found so far, and what they take; all zero without them. From any thread."""
        return self._prefixes.stats if self._prefixes is not None else PrefixStats()

    def forget_prefixes(self, owner: str | None = None) -> None:
        """Forget what answers have read, on disk too: the next one reads its whole prompt. With an `owner`, only what
        was read for that chat alone."""
        self._settling.close()
        if self._newest is None or owner in (None, self._newest.owner):
            self._newest, self._to_read = None, []
        if self._prefixes is not None:
            self._prefixes.forget(owner)

    def drop_prefixes(self) -> None:
        """Free the memory of what answers have read; the disk keeps what it has."""
        self._settling.close()
        if self._prefixes is not None:
            self._prefixes.drop()
