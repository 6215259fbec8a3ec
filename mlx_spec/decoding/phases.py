"""The phases of a round: launch, verify, settle, tell. `mlx_spec.decoder.step` has them in order.

Drafting, scoring and verifying are one lazy graph, which the host reads once, in `settle`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import mlx.core as mx

from mlx_spec.acceptance.tree_rules import TREE_RULES
from mlx_spec.config import LOSSY_RULES
from mlx_spec.decoding.answer import Answer
from mlx_spec.decoding.clock import RoundClock
from mlx_spec.decoding.drafters.base import Draft
from mlx_spec.decoding.drafters.levels import Levels, together
from mlx_spec.decoding.outcome import Outcome, read_outcome
from mlx_spec.decoding.round import Round
from mlx_spec.decoding.round_report import RoundTimes, counters, drafted, emit, end_margin, ending, nearest_tie
from mlx_spec.decoding.sharing.learning import away_ms, learn, learn_whole, plain_step_ms
from mlx_spec.decoding.sharing.padding import paddings
from mlx_spec.decoding.target import score_all
from mlx_spec.events import EmittedToken, RoundFinished
from mlx_spec.lookahead.plan import Plan
from mlx_spec.lookahead.shared_costs import SharedCosts
from mlx_spec.lookahead.together import Wish, plan_together, shared_costs
from mlx_spec.machine.kernels.warp import warped

_READ_WITH_THE_PROMPT: Final = "the last pass over the prompt has said it"


@dataclass(frozen=True, slots=True)
class Settled:
    """A round whose tokens are known and committed, but not told yet."""

    answer: Answer
    round: Round
    outcome: Outcome

    @property
    def goes_on(self) -> bool:
        """Whether there will be another round, as far as can be told before the text is known."""
        return self.answer.goes_on_after(self.outcome)


def launch(answers: Sequence[Answer]) -> None:
    """Plan the next round of all answers, and set their drafts going. Where none has a draft, the target's own pass:
    one that has makes the others wait for it, as a pass over the rows of all takes hardly longer than one over some."""
    clock = RoundClock()
    _plan(answers, clock)
    _draft(answers)
    drafts = any(answer.round and answer.round.draft for answer in answers)
    if not drafts:
        _judge(answers)
    for answer in answers:
        if answer.round and (verdict := answer.round.verdict):
            mx.async_eval(verdict.verified.token_ids, verdict.verified.logprobs)  # type: ignore[no-untyped-call]
    clock.launched(drafts=drafts)


def verify(answers: Sequence[Answer]) -> None:
    """Have the target score the drafts, and the rules judge them; lazily."""
    for answer in answers:
        if answer.round is not None:
            answer.round.clock.resumed()
    _judge([answer for answer in answers if answer.round and answer.round.verdict is None])


def settle(answers: Sequence[Answer]) -> list[Settled]:
    """Read what was decided, the one host read of the rounds. The controllers learn from it, the caches keep it. Those
    that have failed, as when the target's logits are not numbers, are not among them."""
    rounds = [done for answer in answers if (done := _read(answer)) is not None]
    for done in rounds:
        done.round.clock.read()
    passed = [(done.answer, done.round, done.outcome) for done in rounds if done.round.makes_pass]
    learn(passed, failed=len(rounds) < len(answers))
    for done in rounds:
        with _on_its_own(done.answer):
            done.answer.commit(done.outcome)
    return [done for done in rounds if done.answer.failure is None]


def tell(rounds: Sequence[Settled]) -> list[RoundFinished]:
    """Add the rounds' words to the answers, count them, and say what happened. The rounds after them, where there are
    any, have been launched. An answer that has failed, with this round's words or with the next round's launch, says
    nothing."""
    emitted = [_emitted(done) for done in rounds]
    following = next((done.answer.round.clock for done in rounds if done.answer.round), None)
    spent_ms = [done.round.clock.spent_ms(following) for done in rounds]
    shared = shared_costs([done.answer.controller for done in rounds])
    if shared is not None:
        learn_whole([done.round for done in rounds], spent_ms, shared)
    told = []
    for done, tokens, ms in zip(rounds, emitted, spent_ms, strict=True):
        if tokens is not None and done.answer.failure is None:
            with _on_its_own(done.answer):
                told.append(_told(done, tokens, ms, shared))
    return told


def _emitted(done: Settled) -> Sequence[EmittedToken] | None:
    answer = done.answer
    with _on_its_own(answer):
        tokens = emit(answer.transcript, done.outcome, done.round.position, answer.token_names)
        if answer.is_said:
            answer.transcript.finish("stop")
        return tokens
    return None


def _told(done: Settled, emitted: Sequence[EmittedToken], spent_ms: float, shared: SharedCosts | None) -> RoundFinished:
    answer, round_, outcome = done.answer, done.round, done.outcome.ended_after(len(emitted))
    following, plan = answer.round, round_.plan
    verify_ms = round_.verify_ms - round_.pass_share * away_ms(answer, round_)
    wire_ms = min(verify_ms, round_.pass_share * answer.wire_ms(round_.pass_rows))
    times = RoundTimes(round_.draft_ms, verify_ms, spent_ms, max(0.0, wire_ms))
    lossy = bool(outcome.draft_ids) and not answer.request.params.greedy and round_.rule in LOSSY_RULES
    change = counters(outcome, len(emitted), round_.passes, times, lossless=not lossy)
    if not round_.makes_pass:  # without drafts it would be as soon, whatever a plain step takes
        change = replace(
            change, target_forward_passes=0, shared_tokens=len(emitted), shared_plain_time_ms=times.total_ms
        )
    end = end_margin(answer.transcript, done.outcome, len(emitted))
    change = replace(change, exactness=answer.request.exactness, nearest_tie=nearest_tie(emitted, end))
    answer.tally.add(change, plain_step_ms(answer, round_, shared), shared=round_.is_shared)
    return RoundFinished(
        index=round_.index,
        drafter=plan.drafter,
        lookahead=plan.length,
        reason=plan.reason,
        next_lookahead=following.plan.length if following else plan.length,
        drafted=drafted(answer.transcript, outcome),
        emitted=tuple(emitted),
        draft_ms=times.draft_ms,
        verify_ms=times.verify_ms,
        round_ms=times.total_ms,
        parked=plan.parked,
        plain_step_ms=answer.tally.plain_step_ms,
        wire_ms=times.wire_ms,
        end=ending(answer.transcript, done.outcome, len(emitted), answer.token_names),
        end_margin=end,
    )


@dataclass(frozen=True, slots=True)
class _on_its_own:  # noqa: N801 - what `with` takes
    """What goes wrong inside, be it in a grammar, in penalties or in text, is this answer's failure and no other's."""

    answer: Answer

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        """Have the answer fail; whoever stops the process is let through."""
        if isinstance(error, Exception):
            self.answer.failure, self.answer.round = error, None
        return isinstance(error, Exception)


def _read(answer: Answer) -> Settled | None:
    """Read what was decided of one answer; None where it has failed."""
    round_, answer.round = answer.round, None
    if round_ is None:
        assert answer.failure is not None, "a round is launched before it is settled"
        return None
    with _on_its_own(answer):
        assert round_.verdict is not None, "a round is verified before it is settled"
        verdict, tops, logprobs = round_.verdict, answer.request.alternatives, answer.request.logprobs
        outcome = read_outcome(verdict.verified, verdict.rows, verdict.proposal, round_.tree, tops, verdict.margins)
        if round_.logits is not None and logprobs is not None:
            outcome, round_.logits = outcome.with_logprobs(round_.logits, logprobs), None
        return Settled(answer, round_, outcome)
    return None


def _plan(answers: Sequence[Answer], clock: RoundClock) -> None:
    """The next rounds, with what their plans ask for."""
    wishes: list[tuple[Answer, Wish]] = []
    for answer in answers:
        if answer.first is not None:
            plan, rule = Plan(None, 0, _READ_WITH_THE_PROMPT), answer.config.acceptance
            answer.round = Round(
                answer.num_rounds, answer.position, plan, None, None, rule, clock, pass_rows=0, pass_share=0.0
            )
            answer.num_rounds += 1
            continue
        with _on_its_own(answer):
            answer.follow_steering()
            longest = max(answer.config.lookahead, answer.config.max_lookahead)
            options = answer.roster.options(longest, trees=_may_branch(answer))
            wishes.append((answer, Wish(answer.controller, options, answer.most_drafts)))
    plans = plan_together([wish for _, wish in wishes])
    for (answer, wish), plan in zip(wishes, plans, strict=True):
        option = next((option for option in wish.options if option.drafter == plan.drafter), None)
        told, rule = answer.explained(plan), answer.config.acceptance
        answer.round = Round(answer.num_rounds, answer.position, told, option, None, rule, clock)
        answer.num_rounds += 1


def _draft(answers: Sequence[Answer]) -> None:
    """Set the drafts that the plans ask for going: drafters that run the same model have a pass a level for all."""
    rounds = [(answer, round_) for answer in answers if (round_ := answer.round) and round_.plan.drafter]
    drafting = [_proposing(answer, round_) for answer, round_ in rounds]
    for (_, round_), draft in zip(rounds, together(drafting), strict=True):
        round_.draft = draft
        if draft is not None:
            mx.async_eval(draft.token_ids)  # type: ignore[no-untyped-call]
    parts = [max(1, round_.passes) if (round_ := answer.round) and round_.draft else 0 for answer in answers]
    for answer, part in zip(answers, parts, strict=True):
        if answer.round:
            answer.round.draft_share = part / max(1, sum(parts))


def _proposing(answer: Answer, round_: Round) -> Levels[Draft | None]:
    with _on_its_own(answer):
        return (yield from answer.roster.proposing(round_.plan, round_.position, round_.index))
    return None


def _judge(answers: Sequence[Answer]) -> None:
    """Score all answers' known tokens and drafts in one pass of the target, and judge each draft by that. All scores
    are asked for before the host waits for anything."""
    rounds = [(answer, round_) for answer in answers if (round_ := answer.round)]
    known_first = any(answer.target.is_shared for answer, _ in rounds)  # others are told tokens, not what will be some
    waited_ms = _wait_for_drafts(rounds) if known_first else 0.0
    every = _scored(rounds)
    if not known_first:
        waited_ms = _wait_for_drafts(rounds)  # only to tell the two times apart
    for (answer, round_), logits in zip(rounds, every, strict=True):
        round_.clock.waited(waited_ms)
        with _on_its_own(answer):
            tree = round_.tree
            round_.logits = logits if answer.request.logprobs is not None else None
            logits, bias = answer.penalties.parts(logits, round_.draft_ids, tree.seen[:, 1:] if tree else None)
            rows = warped(logits, answer.request.params, bias)
            round_.verdict = answer.judge.verdict(round_.rule, rows, round_.draft, round_.position, round_.index)


def _wait_for_drafts(rounds: Sequence[tuple[Answer, Round]]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    mx.eval([ids for _, round_ in rounds if (ids := round_.draft_ids) is not None])
    return (time.perf_counter() - began) * 1e3


def _scored(rounds: Sequence[tuple[Answer, Round]]) -> list[mx.array]:
    """Logits of each answer's rows, on their way."""
    passing = [(answer, round_) for answer, round_ in rounds if answer.first is None]
    asked = [
        answer.target.asked(answer.last_token, round_.draft_ids, round_.tree, padding)
        for (answer, round_), padding in zip(passing, paddings(passing), strict=True)
    ]
    logits = score_all(asked)
    heard = [answer.target.features for answer, _ in passing if answer.target.features is not None]
    mx.async_eval(heard, logits)  # type: ignore[no-untyped-call]
    scored = iter(logits)
    return [next(scored) if answer.first is None else answer.first.logits for answer, _ in rounds]


def _may_branch(answer: Answer) -> bool:
    """Whether trees are wanted, the rule can judge them and the target can score them in one pass."""
    judged = answer.request.params.greedy or answer.config.acceptance in TREE_RULES
    return answer.config.tree_speculation and judged and answer.target.takes_trees
