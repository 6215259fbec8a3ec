"""The round loop of speculative decoding. Read this first.

One round: the drafter proposes gamma tokens, the target scores them and one known token in a single forward pass,
the acceptance rule keeps a prefix and adds one token of the target's own (a correction, or a bonus after a full
acceptance), and both caches drop what was rejected. Drafting, scoring and verifying are one lazy graph: the host
reads once a round. Plain decoding is the same loop with an empty draft. As soon as the host knows a round's tokens
it launches the next draft, or the target's pass where nothing is to be drafted; what is left to do with them (text,
events, counters) is done while that runs.

Token ids in, events out; knows no HTTP, no terminal and no window.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import mlx.core as mx

from mlx_spec.acceptance.tree_rules import TREE_RULES
from mlx_spec.config import LOSSY_RULES, AcceptanceRule, DrafterName, SamplingParams, SpeculativeConfig
from mlx_spec.decoding.admission import Lookahead, answer_limit, check_drafter, drafting, steerable, with_lookahead
from mlx_spec.decoding.calibration import calibrated
from mlx_spec.decoding.ceiling import Ceiling, measured_ceiling
from mlx_spec.decoding.drafters.base import Draft
from mlx_spec.decoding.judge import Judge, Verdict
from mlx_spec.decoding.outcome import Outcome, read_outcome
from mlx_spec.decoding.roster import make_roster, taps_of
from mlx_spec.decoding.round_report import RoundTimes, counters, drafted, emit
from mlx_spec.decoding.steering import Steering
from mlx_spec.decoding.tally import AnswerTally, StatsCounter
from mlx_spec.decoding.target import Target
from mlx_spec.events import Event, GenerationFinished, PrefillProgress, RoundFinished, SpeculativeStats, TextDelta
from mlx_spec.lookahead.controllers import controller
from mlx_spec.lookahead.cost_controller import CostLookahead
from mlx_spec.lookahead.costs import Calibration
from mlx_spec.lookahead.experience import ExperienceFile, shipped_with
from mlx_spec.lookahead.fixed import FixedLookahead
from mlx_spec.lookahead.plan import LookaheadController, Observation, Option, Plan
from mlx_spec.lookahead.shapes import pass_widths, tree_shapes
from mlx_spec.machine.kernels.warp import warped
from mlx_spec.models.loading import ModelPair
from mlx_spec.models.text.transcript import Transcript
from mlx_spec.sampling.gumbel import NoiseTable
from mlx_spec.sampling.penalties import Penalties

# Graphs of the passes to come are built while the device reads: so many a chunk, as the first word waits for the last.
_GRAPHS_A_CHUNK: Final = 2
# A chunk of the prompt is one forward pass: large enough to be efficient, small enough for progress and cancelling.
PREFILL_TOKENS: Final = {mx.cpu: 64, mx.gpu: 512}


class SpeculativeDecoder:
    """Answers prompts with a target model, sped up by a draft.

    Belongs to the thread that loaded the pair, except `stats` and `reset_stats`, which any thread may call. One
    answer at a time; each `stream` starts from an empty cache. What it learns about costs and acceptance serves
    its later answers.
    """

    def __init__(
        self, pair: ModelPair, config: SpeculativeConfig | None = None, *, drafter: DrafterName = "auto"
    ) -> None:
        self._pair = pair
        self._config = config or SpeculativeConfig()
        self._drafter = drafter
        self._stats = StatsCounter()
        self._calibration: Calibration | None = None
        self._experience: ExperienceFile | None = None
        self.ceiling: Ceiling | None = None
        """The fastest that plain decoding could be here; None until `measure_ceiling`."""
        self._controllers: dict[tuple[SpeculativeConfig, bool], LookaheadController] = {}
        check_drafter(drafter, pair)
        drafting(drafter, pair)  # what cannot be rolled back is told now, not with the first request

    def stream(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams | None = None,
        max_tokens: int = 256,
        *,
        should_cancel: Callable[[], bool] | None = None,
        drafter: DrafterName | None = None,
        lookahead: Lookahead | None = None,
        alternatives: int = 0,
        steering: Steering | None = None,
        goes_on: bool = False,
    ) -> Iterator[Event]:
        """Answer `prompt_ids`, telling each event as it happens.

        `should_cancel` is asked between rounds and between chunks of the prompt. `drafter` and `lookahead` stand in
        for the decoder's own settings. With `alternatives` each token tells so many of the likeliest in its place.
        What `steering` holds counts from the start, what it is told later from the round after that. Where the answer
        `goes_on`, its text goes on the prompt's, and keeps a space that it begins with. Raises
        PromptError, ConfigError or UnsupportedModelError before the first event, NumericalError when the model's logits
        are not numbers.
        """
        params = params or SamplingParams()
        name = drafter or self._drafter
        check_drafter(name, self._pair)
        config = with_lookahead(self._config, lookahead)
        limit = answer_limit(self._pair, config, prompt_ids, max_tokens)
        if params.seed is None:
            params = replace(params, seed=secrets.randbits(32))
        names = drafting(name, self._pair)
        if names and steering is not None:
            names = steerable(names, self._pair)

        def choose(config: SpeculativeConfig, drafters: Sequence[str]) -> LookaheadController:
            return self._controller(config, params) if drafters else FixedLookahead(0)

        loop = _RoundLoop(self._pair, config, params, names, choose, limit, self._stats)
        loop.tell_alternatives(alternatives)
        loop.follow(steering or Steering(), name)
        loop.begin(prompt_ids, goes_on=goes_on)
        events = loop.run([int(token_id) for token_id in prompt_ids], should_cancel or (lambda: False))
        return self._keeping(events, config, params)

    def generate(self, prompt: str, params: SamplingParams | None = None, max_tokens: int = 256) -> str:
        """Answer one user message, through the chat template where the model has one; returns the text."""
        text = ""
        for event in self.stream(self._pair.encode_chat([{"role": "user", "content": prompt}]), params, max_tokens):
            if isinstance(event, TextDelta):
                text += event.text
        return text

    def calibrate(self, tell: Callable[[str, float], None] = lambda stage, fraction: None) -> Calibration:
        """Measure what passes of this pair cost on this machine, or read it from the disk and check it.

        Serves `adaptive_lookahead`, and makes `stats().speedup` a measured number. `tell(stage, fraction)` hears of
        progress. Decoding works without it, and then learns the costs from its first rounds. From then on, what the
        drafters show is kept on disk too, for decoders to come.
        """
        taps = taps_of(self._pair, drafting(self._drafter, self._pair))
        self._calibration = calibrated(self._pair, pass_widths(self._config), tell, taps)
        self._experience = ExperienceFile(
            self._pair.target_name, self._pair.draft_name, shipped=shipped_with(self._pair.name)
        )
        self._controllers.clear()
        self._stats.add(SpeculativeStats(plain_step_ms=self._calibration.plain_step_ms))
        return self._calibration

    def measure_ceiling(self, tell: Callable[[str, float], None] = lambda stage, fraction: None) -> Ceiling:
        """Measure how fast this machine's memory is, or read it from the disk, for what `ceiling` tells."""
        self.ceiling = measured_ceiling(self._pair.target, tell, self._stats.snapshot().plain_step_ms)
        return self.ceiling

    def warm_up(self) -> Iterator[None]:
        """Do a round of each length and tree that may be drafted, and forget it: graphs and kernels are built then,
        which the first answers would wait for. May be given up after any of them."""
        names = drafting(self._drafter, self._pair)
        config = replace(self._config, acceptance_threshold=0.0)  # no draft ends early
        lengths = range(config.max_lookahead + 1 if names else 1)
        shapes = tree_shapes(config) if names else ()
        params, room = SamplingParams(temperature=1.0, seed=0), config.max_lookahead + config.max_tree_depth + 1
        for plan in [*map(FixedLookahead, lengths), *(FixedLookahead(shape.depth, shape) for shape in shapes)]:
            loop = _RoundLoop(self._pair, config, params, names, lambda *_, plan=plan: plan, room, StatsCounter())
            loop.tell_alternatives(0)
            loop.follow(Steering(), self._drafter)
            next(event for event in loop.run([0, 0], lambda: False) if isinstance(event, RoundFinished))
            yield

    def stats(self) -> SpeculativeStats:
        """A snapshot of the counters over all answers."""
        return self._stats.snapshot()

    def reset_stats(self) -> SpeculativeStats:
        """Set the counters to zero; returns what they were."""
        return self._stats.reset()

    def _keeping(self, events: Iterator[Event], config: SpeculativeConfig, params: SamplingParams) -> Iterator[Event]:
        """The events; with the last of them, what was learnt is kept for the next process."""
        for event in events:
            learnt = self._controllers.get((config, params.greedy))
            if self._experience and isinstance(event, GenerationFinished) and isinstance(learnt, CostLookahead):
                self._experience.write(learnt.experience, greedy=params.greedy)
            yield event

    def _controller(self, config: SpeculativeConfig, params: SamplingParams) -> LookaheadController:
        """The controller of earlier answers where it may have learnt something. Greedy drafts fare differently."""
        if not config.adaptive_lookahead or config.controller != "cost":
            return controller(config)
        key = config, params.greedy
        if key not in self._controllers:
            known = self._experience.read(greedy=params.greedy) if self._experience else None
            self._controllers[key] = controller(config, self._calibration, known)
        self._controllers[key].begin()
        return self._controllers[key]


@dataclass(frozen=True, slots=True)
class _Launch:
    """The next round: its plan, and what is on its way, the draft or, without one, the target's own pass. It took the
    host `host_ms` to set going, until the time `at`."""

    plan: Plan
    option: Option | None
    draft: Draft | None
    plain: Verdict | None
    host_ms: float
    at: float


class _RoundLoop:
    """One answer: its models with their caches, its randomness and its rounds."""

    def __init__(
        self,
        pair: ModelPair,
        config: SpeculativeConfig,
        params: SamplingParams,
        drafters: tuple[str, ...],
        choose: Callable[[SpeculativeConfig, Sequence[str]], LookaheadController],
        max_tokens: int,
        stats: StatsCounter,
    ) -> None:
        assert params.seed is not None
        self._config, self._params, self._seed = config, params, params.seed
        self._noise = NoiseTable(params.seed, pair.vocab_size)
        self._judge = Judge(params, self._noise)
        self._penalties = Penalties(params, pair.vocab_size)
        self._roster = make_roster(drafters, pair, config, params, self._noise, self._penalties)
        self._target = Target(pair.target, pair.target_name, speculative=bool(drafters), listen_to=self._roster.taps)
        self._choose = choose
        self._controller = choose(config, drafters)
        self._eos_token_ids = pair.eos_token_ids
        self._transcript = Transcript(pair.tokenizer, pair.eos_token_ids, params.stop, max_tokens)
        self._tally = AnswerTally(stats)
        self._context = pair.context_length
        self._room = max_tokens  # tokens that are not decided yet
        self._position = 0  # of the next token to decide
        self._last_token = -1
        self._away_ms = 0.0  # what the answer's reader did with the newest events

    def tell_alternatives(self, count: int) -> None:
        """Have each round tell so many of the likeliest tokens in each place."""
        self._num_alternatives = count

    def begin(self, prompt_ids: Sequence[int], *, goes_on: bool) -> None:
        """The answer follows these ids: with a text of its own, or one that `goes_on` theirs."""
        self._transcript.begin(prompt_ids, goes_on=goes_on)

    def follow(self, steering: Steering, drafter: str) -> None:
        """Let `drafter` draft, and do as `steering` says from now on."""
        self._steering = steering
        steering.drafters, steering.config = self._roster.every_name, self._config
        self._roster.steer(drafter, self._config)
        self._steer()

    def run(self, prompt_ids: list[int], should_cancel: Callable[[], bool]) -> Iterator[Event]:
        """Prompt, rounds, end."""
        prefill_ms = 0.0
        for event in self._prefill(prompt_ids, should_cancel):
            yield event
            prefill_ms = event.elapsed_ms
        index, launch = 0, None
        while self._transcript.finish_reason is None:
            told: list[Event] = []
            if should_cancel():
                self._transcript.finish("cancelled")
            else:
                finished, launch = self._round(index, launch or self._launch(0))
                told.append(finished)
                index += 1
            if text := self._transcript.take_text():
                told.append(TextDelta(text))
            given = time.perf_counter()
            yield from told
            self._away_ms = (time.perf_counter() - given) * 1e3
        yield self._finished(len(prompt_ids), prefill_ms)

    def _prefill(self, prompt_ids: list[int], should_cancel: Callable[[], bool]) -> Iterator[PrefillProgress]:
        """Process all of the prompt but its last token, which the first round scores together with its drafts."""
        started = time.perf_counter()
        self._penalties.read_prompt(prompt_ids)
        known, self._last_token = prompt_ids[:-1], prompt_ids[-1]
        yield PrefillProgress(0, len(prompt_ids), 0.0)
        # A draft that is parked from the beginning reads the prompt only when it is tried.
        everybody = [Option(name, self._config.max_lookahead) for name in self._roster.names]
        eager = self._controller.expects_to_draft(everybody, self._room - 1)
        # What an n-gram will find in the text is not known yet.
        models = [option for option in everybody if option.drafter != "ngram"]
        likely = iter(self._controller.likely_rows(models or everybody, self._room - 1))

        def build() -> None:
            for rows in islice(likely, _GRAPHS_A_CHUNK):
                self._target.prepare(rows, len(prompt_ids))

        step = PREFILL_TOKENS[mx.default_device().type]
        for begin in range(0, len(known), step):
            if should_cancel():
                self._transcript.finish("cancelled")
                return
            chunk = known[begin : begin + step]
            self._target.prefill(chunk, build)
            self._roster.read(self._target.features, chunk)
            self._roster.prefill(chunk, eager=eager)
            mx.clear_cache()
            yield PrefillProgress(begin + len(chunk), len(prompt_ids), (time.perf_counter() - started) * 1e3)
        self._position = len(prompt_ids)
        self._roster.commit([self._last_token])
        yield PrefillProgress(len(prompt_ids), len(prompt_ids), (time.perf_counter() - started) * 1e3)

    def _launch(self, index: int) -> _Launch:
        """Plan round `index`, and set its draft going, or its pass: it runs while Python does something else."""
        started = time.perf_counter()
        self._steer()
        longest = max(self._config.lookahead, self._config.max_lookahead)
        options = self._roster.options(longest, trees=self._may_branch())
        plan = self._controller.plan(options, self._room - 1)
        option = draft = None
        if plan.drafter is not None:
            option = next(option for option in options if option.drafter == plan.drafter)
            draft = self._roster.propose(plan, self._position, index)
        plain = None
        if draft is not None:
            mx.async_eval(draft.token_ids)  # type: ignore[no-untyped-call]
        else:
            plain, _ = self._judged(None, index)
            mx.async_eval(plain.verified.token_ids, plain.verified.logprobs)  # type: ignore[no-untyped-call]
        done = time.perf_counter()
        return _Launch(plan, option, draft, plain, (done - started) * 1e3, done)

    def _may_branch(self) -> bool:
        """Whether trees are wanted, the rule can judge them and the target can score them in one pass."""
        judged = self._params.greedy or self._config.acceptance in TREE_RULES
        return self._config.tree_speculation and judged and self._target.takes_trees

    def _steer(self) -> None:
        """Take what was asked for meanwhile. Drawing and judging change together, between two rounds."""
        if (change := self._steering.take()) is not None:
            self._config = self._steering.config = change.applied_to(self._config)
            self._roster.steer(change.drafter, self._config)
            self._controller = self._choose(self._config, self._roster.names)

    def _round(self, index: int, launch: _Launch) -> tuple[RoundFinished, _Launch | None]:
        """One round, and the launch of the next where the answer seems to go on."""
        started = time.perf_counter()
        draft, rule = launch.draft, self._config.acceptance
        verdict, waited_ms = (launch.plain, 0.0) if launch.plain else self._judged(draft, index)
        tree = draft.tree if draft else None
        outcome = read_outcome(verdict.verified, verdict.rows, verdict.proposal, tree, self._num_alternatives)
        read = time.perf_counter()

        draft_ms = launch.host_ms + waited_ms if draft else 0.0
        verify_ms, away_ms = (read - started) * 1e3 - waited_ms, 0.0
        if launch.plain is not None:
            away_ms, verify_ms = self._away_ms, verify_ms + launch.host_ms + (started - launch.at) * 1e3
        # A pass that was under way while the answer's reader was away may have been done before they came back.
        telling = not self._target.built_anew and away_ms <= (read - started) * 1e3
        self._learn(launch, outcome, draft_ms, verify_ms, telling=telling)
        position = self._position
        self._commit(outcome)
        following = self._launch(index + 1) if self._goes_on(outcome) else None
        emitted = emit(self._transcript, outcome, position)
        outcome = outcome.ended_after(len(emitted))
        spent_ms = (time.perf_counter() - started) * 1e3 + launch.host_ms - (following.host_ms if following else 0.0)
        times = RoundTimes(draft_ms, verify_ms - away_ms, spent_ms)
        self._count(outcome, len(emitted), draft.passes if draft else 0, times, rule)
        finished = RoundFinished(
            index=index,
            drafter=launch.plan.drafter,
            lookahead=launch.plan.length,
            reason=launch.plan.reason,
            next_lookahead=following.plan.length if following else launch.plan.length,
            drafted=drafted(self._transcript, outcome),
            emitted=tuple(emitted),
            draft_ms=times.draft_ms,
            verify_ms=times.verify_ms,
            round_ms=times.total_ms,
            parked=launch.plan.parked,
            plain_step_ms=self._tally.plain_step_ms,
        )
        return finished, following

    def _judged(self, draft: Draft | None, index: int) -> tuple[Verdict, float]:
        """Have the target score a draft, and judge it; gives besides for how many milliseconds it waited for it."""
        drafted_ids, tree = (draft.token_ids, draft.tree) if draft else (None, None)
        logits = self._target.score(self._last_token, drafted_ids, tree, self._padding(draft))
        if self._target.features is not None:
            mx.async_eval(self._target.features)  # type: ignore[no-untyped-call]
        mx.async_eval(logits)  # type: ignore[no-untyped-call]
        built = time.perf_counter()
        if draft is not None:
            mx.eval(draft.token_ids)  # a wait, not a read: it only tells the two times apart
        waited_ms = (time.perf_counter() - built) * 1e3
        logits, bias = self._penalties.parts(logits, drafted_ids, tree.seen[:, 1:] if tree else None)
        rows = warped(logits, self._params, bias)
        return self._judge.verdict(self._config.acceptance, rows, draft, self._position, index), waited_ms

    def _padding(self, draft: Draft | None) -> int:
        """Rows to add to the pass that scores a draft, where more are cheaper; none beyond the end of the context."""
        if draft is None or self._context is None or not self._target.takes_padding:
            return 0
        count = draft.token_ids.shape[0] + 1
        return max(0, min(self._controller.rows(count), self._context - self._position + 1) - count)

    def _learn(self, launch: _Launch, outcome: Outcome, draft_ms: float, verify_ms: float, *, telling: bool) -> None:
        """Tell the controller of the round, and of what the other drafters would have proposed."""
        round_ = Observation(
            option=launch.option,
            asked=launch.plan.length,
            drafted=len(outcome.draft_ids),
            tested=outcome.tested,
            accepted=outcome.accepted,
            ratios=outcome.ratios(),
            draft_ms=draft_ms,
            verify_ms=verify_ms,
            passes=launch.draft.passes if launch.draft else 0,
            shape=launch.plan.shape,
            hits=outcome.hits,
            telling=telling,
            padded=self._target.padding,
        )
        self._controller.observe(round_)
        self._roster.show_glimpses(outcome.token_ids, self._controller)

    def _commit(self, outcome: Outcome) -> None:
        """Bring all caches, the position and the noise in step with the answer."""
        if self._target.features is not None:
            read = [self._last_token, *outcome.token_ids[:-1]]
            self._roster.read(self._target.features[mx.array([0, *outcome.path])], read)
        self._target.commit(outcome.path)
        self._roster.commit(outcome.token_ids, outcome.path)
        self._room -= len(outcome.token_ids)
        self._position += len(outcome.token_ids)
        self._noise.forget_before(self._position)
        self._penalties.push(outcome.token_ids)
        self._last_token = outcome.token_ids[-1]

    def _goes_on(self, outcome: Outcome) -> bool:
        """Whether there will be another round, as far as can be told before the text is known."""
        return self._room > 0 and self._eos_token_ids.isdisjoint(outcome.token_ids)

    def _count(self, outcome: Outcome, emitted: int, passes: int, times: RoundTimes, rule: AcceptanceRule) -> None:
        lossy = bool(outcome.draft_ids) and not self._params.greedy and rule in LOSSY_RULES
        change = counters(outcome, emitted, passes, times, lossless=not lossy)
        self._tally.add(change, self._controller.plain_step_ms)

    def _finished(self, prompt_tokens: int, prefill_ms: float) -> GenerationFinished:
        assert self._transcript.finish_reason is not None
        return GenerationFinished(
            finish_reason=self._transcript.finish_reason,
            token_ids=tuple(self._transcript.token_ids),
            text=self._transcript.text,
            seed=self._seed,
            prompt_tokens=prompt_tokens,
            prefill_ms=prefill_ms,
            stats=self._tally.close(),
        )
