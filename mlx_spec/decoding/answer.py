"""One answer under way: its models with their caches, its randomness, and how far it has come."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import mlx.core as mx

from mlx_spec.config import SpeculativeConfig
from mlx_spec.decoding.cache.blocks.chain import TARGET, ends_of, fill
from mlx_spec.decoding.cache.blocks.lease import Lease
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.cache.chunks import prompt_passes
from mlx_spec.decoding.cache.passes.ways import reads_as_it_scores
from mlx_spec.decoding.cache.snapshot import Snapshot
from mlx_spec.decoding.cache.swapping import Swapped
from mlx_spec.decoding.constraints.following import matcher_of
from mlx_spec.decoding.constraints.thinking import limited
from mlx_spec.decoding.drafters.prediction import Prediction
from mlx_spec.decoding.judge import Judge
from mlx_spec.decoding.outcome import Outcome
from mlx_spec.decoding.request import Request
from mlx_spec.decoding.roster import make_roster
from mlx_spec.decoding.round import Round
from mlx_spec.decoding.steering import Steering
from mlx_spec.decoding.tally import AnswerTally, StatsCounter
from mlx_spec.decoding.target import Target
from mlx_spec.events import GenerationFinished
from mlx_spec.lookahead.plan import LookaheadController, Plan
from mlx_spec.lookahead.shapes import confined
from mlx_spec.models.loading import ModelPair
from mlx_spec.models.splitting.timing import kept_wire
from mlx_spec.models.text.parts import AnswerParts
from mlx_spec.models.text.token_names import TokenNames
from mlx_spec.models.text.transcript import Transcript
from mlx_spec.sampling.gumbel import NoiseTable
from mlx_spec.sampling.penalties import Penalties

Choose = Callable[[SpeculativeConfig, Sequence[str]], LookaheadController]
"""Which controller plans the rounds, by the configuration and the names of the drafters that may be asked."""


@dataclass(frozen=True, slots=True)
class FirstRow:
    """What the last pass over a prompt has said of its last token: logits `[1, vocab]`, and where somebody listens the
    `features` `[1, layers * hidden]`. So the first round makes no pass."""

    logits: mx.array
    features: mx.array | None


class Answer:
    """The state of one answer. Plain attributes: `decoding.prompt` and `decoding.phases` change them.

    The newest known token, `last_token`, is in no cache yet: the target scores it together with the next drafts.
    """

    def __init__(
        self, pair: ModelPair, request: Request, choose: Choose, stats: StatsCounter, steering: Steering | None = None
    ) -> None:
        params = request.params
        self._pair, self.request = pair, request
        self.turns = request.turns
        """Behind how many tokens of the prompt its turns begin, found once."""
        self.config = request.config
        """The request's, as it was steered so far."""
        self.noise = NoiseTable(request.seed, pair.vocab_size)
        self.judge = Judge(params, self.noise, tells_margins=request.exactness == "fast")
        self._matcher = matcher_of(
            pair, request.constraint, request.prompt_ids, goes_on=request.goes_on, banned=params.banned_token_ids
        )
        masks = limited(self._matcher, pair.tokenizer, request.prompt_ids, request.thinking_tokens, pair.vocab_size)
        self.penalties = Penalties(params, pair.vocab_size, masks)
        self.prediction = Prediction(request.predicted_ids) if request.predicted_ids else None
        self._read_by_new_readers()
        self._choose = choose
        self.controller = choose(request.config, request.drafters)
        self._steering = steering or Steering()
        self._steering.drafters, self._steering.config = self.roster.every_name, self.config
        self._asked: str = request.drafter
        self.roster.steer(self._asked, self.config)
        self.follow_steering()
        calls = pair.chat_manner.calls
        marks = (calls.begin, calls.end) if calls is not None else None
        # What an answer goes on with may be the middle of a call or of a thought: there nobody ends it early.
        one_call = AnswerParts(calls, request.one_call_of) if request.one_call_of and not request.goes_on else None
        self.transcript = Transcript(
            pair.tokenizer, pair.eos_token_ids, params.stop, request.max_tokens, marks, one_call
        )
        self.transcript.begin(request.prompt_ids, goes_on=request.goes_on)
        asks_logprobs = request.logprobs is not None or request.prompt_logprobs
        self.token_names = TokenNames(pair.tokenizer) if asks_logprobs else None
        self.tally = AnswerTally(stats)
        self._eos_token_ids = pair.eos_token_ids
        self.context_length = pair.context_length
        self.is_said = False
        """Whether its grammar lets nothing but the end follow: that takes no pass."""
        self.room = request.max_tokens
        """Tokens that are not decided yet, at most."""
        self.position = 0
        """Of the next token to decide."""
        self.last_token = -1
        self.prefill_ms = 0.0
        self.num_cached = 0
        """Tokens of the prompt that an earlier answer had read."""
        self.num_read = 0
        """Tokens of the text that the target has read: all but the newest, once the prompt is."""
        self.num_canonical = 0
        """As many of these as were read in whole chunks of a prompt, now or by an earlier answer."""
        self.points: dict[int, dict[str, Snapshot]] = {}
        """By the tokens read: what readers, by name, held on the way of what cannot be had in stretches."""
        self.lease: Lease | None = None
        """Its blocks of the pool, where there is one."""
        self.places: int | None = None
        """For so many tokens of text, drafts included, there is room; None where nobody counts."""
        self.company = 1
        """So many answers will most likely share its first rounds, itself among them."""
        self._swapped: Swapped | None = None
        self.text_ids: list[int] = list(request.prompt_ids)
        """The prompt, and all that was decided."""
        self.away_ms = 0.0
        """For how long the answer's reader was busy with the newest events."""
        self.round: Round | None = None
        """The one under way."""
        self.first: FirstRow | None = None
        """What follows the prompt, from its last pass until the first round has taken it."""
        self.failure: Exception | None = None
        """Why it cannot go on; None while it can."""
        self.num_rounds = 0
        """Rounds that were begun."""

    @property
    def is_finished(self) -> bool:
        """Whether its last token is told."""
        return self.transcript.finish_reason is not None

    @property
    def most_drafts(self) -> int:
        """How many tokens may be drafted: as there is room for, as a round writes one more. None in the first pass of
        all, behind a prompt of one token: it is never compiled, and over several tokens it has other bits then in half
        precision."""
        most = self.most_in_a_pass if self.num_read else 0
        return most if self.places is None else max(0, min(most, self.places - self.position))

    @property
    def most_in_a_pass(self) -> int:
        """How many drafts there is room for beside the known token, by the tokens that are left and by how wide a pass
        may be."""
        widest = self.request.widest
        return self.room - 1 if widest is None else min(self.room, widest) - 1

    def explained(self, plan: Plan) -> Plan:
        """The plan, with the reason where strict passes leave no room for any draft."""
        if self.request.widest != 1 or not self.request.drafters:
            return plan
        return replace(plan, reason="strict: only passes of one row keep rows apart here")

    def wire_ms(self, rows: int) -> float:
        """What a pass of the target over so many rows takes between machines; 0 where they are one."""
        wire = kept_wire(self._pair.target)
        return wire.ms(rows) if wire is not None else 0.0

    def goes_on_after(self, outcome: Outcome) -> bool:
        """Whether there will be another round, as far as can be told before the text is known."""
        return self.room > 0 and not self.is_said and self._eos_token_ids.isdisjoint(outcome.token_ids)

    def follow_steering(self) -> None:
        """Take what was asked for meanwhile. Drawing and judging change together, between two rounds."""
        if (change := self._steering.take()) is not None:
            config = confined(change.applied_to(self.config), self.request.widest, trees=self.request.branches)
            self.config = self._steering.config = config
            self._asked = change.drafter or self._asked
            self.roster.steer(change.drafter, self.config)
            self.controller.end()
            self.controller = self._choose(self.config, self.roster.names)

    def commit(self, outcome: Outcome) -> None:
        """Bring all caches, the position and the noise in step with what a round decided."""
        first, self.first = self.first, None
        features = first.features if first is not None else self.target.features
        if features is not None:
            read = [self.last_token, *outcome.token_ids[:-1]]
            self.roster.read(features[mx.array([0, *outcome.path])], read)
        if first is None:  # else the prompt's pass has read just what stays
            self.target.commit(outcome.path)
        if self.prediction is not None:
            self.prediction.push(outcome.token_ids)
        self.roster.commit(outcome.token_ids, outcome.path)
        self.room -= len(outcome.token_ids)
        self.position += len(outcome.token_ids)
        self.noise.forget_before(self.position)
        self.penalties.push(outcome.token_ids)
        # Whoever asks for probabilities is told the end's as well.
        self.is_said = self._matcher is not None and self.token_names is None and self._matcher.is_whole
        self.text_ids += outcome.token_ids
        self.num_read += len(outcome.token_ids)
        if self.lease is not None:
            self.lease.grow(self.num_read)
        self.last_token = outcome.token_ids[-1]

    def keep_point(self) -> None:
        """Remember what is held now by those who cannot tell it later by stretches of the text."""
        points = self.roster.points(self.num_read)
        if (point := self.target.point(self.num_read)) is not None:
            points[TARGET] = point
        if points:
            self.points[self.num_read] = points

    def lend(self, prefixes: Prefixes, length: int) -> None:
        """Keep a copy of what the target has read of the first `length` tokens of its prompt, for answers that begin
        while this one goes on. Their drafters read that themselves."""
        length = min(length, self.num_canonical)
        if not self.target.begins_anywhere:
            length = max((at for at, point in self.points.items() if at <= length and TARGET in point), default=0)
        self._keep(prefixes, self.text_ids[:length], goes_on=True)

    def leave(self, prefixes: Prefixes) -> None:
        """Leave what was read for answers to come, in blocks; afterwards this one holds nothing. Where rows do not
        hold, went over blocks, or attend as prompts do not, what its rounds have read has other bits than a prompt, and
        does not count."""
        self.give_up()
        as_read = self.request.rows_hold and not self.target.is_over_blocks and reads_as_it_scores()
        count = self.num_read if as_read else self.num_canonical
        if not self.target.begins_anywhere:
            count = max((length for length, point in self.points.items() if TARGET in point), default=0)
        self._keep(prefixes, self.text_ids[:count])

    def _keep(self, prefixes: Prefixes, token_ids: Sequence[int], *, goes_on: bool = False) -> None:
        whole, opening = len(token_ids) // prefixes.block_tokens * prefixes.block_tokens, self.request.opening
        length = max(whole, prompt_passes().last_begin(len(token_ids), self.turns))
        blocks = prefixes.keep(token_ids[:length], self.request.owner, self.turns)
        ends = ends_of(blocks)
        spans = list(pairwise([0, *ends]))
        block = prefixes.keep_opening(token_ids[:opening]) if 0 < opening <= length else None
        if block is not None and block not in blocks:
            blocks, ends = [block, *blocks], [opening, *ends]
            spans.insert(0, (opening - len(block.token_ids), opening))
        fill(blocks, spans, TARGET, partial(self.target.cut_up, goes_on=goes_on))
        if not goes_on:
            self.roster.leave(blocks, spans)
        for block, end in zip(blocks, ends, strict=True):
            for name, point in self.points.get(end, {}).items():
                block.mark(name, point)
        prefixes.settle()

    def swap_out(self) -> None:
        """Copy what was read, and what is under way, to where no model sees it. Until `swap_in` it cannot go on."""
        self._swapped = Swapped([self.target, self.roster], self.points)

    def swap_in(self) -> None:
        """Hold again what was swapped out, bit for bit."""
        assert self._swapped is not None, "nothing was swapped out"
        self.points = self._swapped.back()
        self._swapped = None

    def begin_again(self) -> None:
        """Give up all that was read, to have the text read again: its words, its place in the noise, its penalties and
        what was learnt stay. A round under way is given up, and will be planned anew."""
        if self.round is not None:
            self.round = None
            self.num_rounds -= 1
        self._swapped, self.points, self.first = None, {}, None
        self.num_read = self.num_canonical = 0
        self._read_by_new_readers()
        self.roster.steer(self._asked, self.config)

    def _read_by_new_readers(self) -> None:
        """Target and drafters that have read nothing."""
        request, pair = self.request, self._pair
        self.roster = make_roster(
            request.drafters,
            pair,
            request.config,
            request.params,
            self.noise,
            self.penalties,
            self._matcher,
            prediction=self.prediction,
        )
        self.target = Target(
            pair.target,
            pair.target_name,
            speculative=bool(request.drafters),
            listen_to=self.roster.taps,
            kv_bits=request.config.kv_bits,
            widest=request.widest,
            by_row=request.by_row,
        )

    def give_up(self) -> None:
        """Give back the blocks that it has taken, and the controller."""
        self.controller.end()
        if self.lease is not None:
            self.lease.end()

    def finished(self) -> GenerationFinished:
        """The answer's last event."""
        assert self.transcript.finish_reason is not None
        self.controller.end()
        return GenerationFinished(
            finish_reason=self.transcript.finish_reason,
            token_ids=tuple(self.transcript.token_ids),
            text=self.transcript.text,
            seed=self.request.seed,
            prompt_tokens=len(self.request.prompt_ids),
            prefill_ms=self.prefill_ms,
            stats=self.tally.close(),
            cached_tokens=self.num_cached,
            prediction=self.prediction.use(len(self.transcript.token_ids)) if self.prediction is not None else None,
            stop_string=self.transcript.stop_string,
        )
