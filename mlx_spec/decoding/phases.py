"""The phases of a round: launch, verify, settle, tell. `mlx_spec.decoder.step` has them in order.

Drafting, scoring and verifying are one lazy graph, which the host reads once, in `settle`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx

from mlx_spec.acceptance.tree_rules import TREE_RULES
from mlx_spec.config import LOSSY_RULES
from mlx_spec.decoding.answer import Answer
from mlx_spec.decoding.clock import RoundClock
from mlx_spec.decoding.drafters.base import Draft
from mlx_spec.decoding.drafters.levels import Levels, together
from mlx_spec.decoding.outcome import Outcome, read_outcome
from mlx_spec.decoding.round import Round
from mlx_spec.decoding.round_report import RoundTimes, counters, drafted, emit
from mlx_spec.decoding.target import score_all
from mlx_spec.events import RoundFinished
from mlx_spec.lookahead.plan import Observation
from mlx_spec.machine.kernels.warp import warped


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
    """Plan each answer's next round, and set its draft going. Where none has a draft, the target's own pass: one that
    has makes the others wait for it, as a pass over the rows of all takes hardly longer than one over some."""
    for answer in answers:
        with _on_its_own(answer):
            answer.round = _planned(answer)
    _draft(answers)
    if not any(answer.round and answer.round.draft for answer in answers):
        _judge(answers)
    for answer in answers:
        if answer.round is None:
            continue
        if verdict := answer.round.verdict:
            mx.async_eval(verdict.verified.token_ids, verdict.verified.logprobs)  # type: ignore[no-untyped-call]
        answer.round.clock.launched()


def verify(answers: Sequence[Answer]) -> None:
    """Have the target score the drafts, and the rules judge them; lazily."""
    for answer in answers:
        if answer.round is not None:
            answer.round.clock.resumed()
    _judge([answer for answer in answers if answer.round and answer.round.verdict is None])


def settle(answer: Answer) -> Settled | None:
    """Read what was decided, the one host read of the round. The controller learns from it, the caches keep it. None
    where the answer has failed, as when the target's logits are not numbers."""
    round_, answer.round = answer.round, None
    if round_ is None:
        assert answer.failure is not None, "a round is launched before it is settled"
        return None
    with _on_its_own(answer):
        assert round_.verdict is not None, "a round is verified before it is settled"
        verdict, tops = round_.verdict, answer.request.alternatives
        outcome = read_outcome(verdict.verified, verdict.rows, verdict.proposal, round_.tree, tops)
        round_.clock.read()
        _observe(answer, round_, outcome)
        answer.commit(outcome)
        return Settled(answer, round_, outcome)
    return None


def tell(done: Settled) -> RoundFinished | None:
    """Add the round's words to the answer, count it, and say what happened. The round after it, if there is one, has
    been launched. None where the answer has failed, with this round's words or with the next round's launch."""
    if done.answer.failure is None:
        with _on_its_own(done.answer):
            return _told(done)
    return None


def _told(done: Settled) -> RoundFinished:
    answer, round_, outcome = done.answer, done.round, done.outcome
    following, plan = answer.round, round_.plan
    emitted = emit(answer.transcript, outcome, round_.position)
    outcome = outcome.ended_after(len(emitted))
    spent_ms = round_.clock.spent_ms(following.clock if following else None)
    times = RoundTimes(round_.draft_ms, round_.verify_ms - _away_ms(answer, round_), spent_ms)
    lossy = bool(outcome.draft_ids) and not answer.request.params.greedy and round_.rule in LOSSY_RULES
    change = counters(outcome, len(emitted), round_.passes, times, lossless=not lossy)
    answer.tally.add(change, answer.controller.plain_step_ms)
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


def _planned(answer: Answer) -> Round:
    """The next round, with what its plan asks for."""
    clock = RoundClock()
    answer.follow_steering()
    longest = max(answer.config.lookahead, answer.config.max_lookahead)
    options = answer.roster.options(longest, trees=_may_branch(answer))
    plan = answer.controller.plan(options, answer.most_drafts)
    round_ = Round(answer.num_rounds, answer.position, plan, None, None, answer.config.acceptance, clock)
    answer.num_rounds += 1
    if plan.drafter is not None:
        round_.option = next(option for option in options if option.drafter == plan.drafter)
    return round_


def _draft(answers: Sequence[Answer]) -> None:
    """Set the drafts that the plans ask for going: drafters that run the same model have a pass a level for all."""
    rounds = [(answer, round_) for answer in answers if (round_ := answer.round) and round_.plan.drafter]
    drafting = [_proposing(answer, round_) for answer, round_ in rounds]
    for (_, round_), draft in zip(rounds, together(drafting), strict=True):
        round_.draft = draft
        if draft is not None:
            mx.async_eval(draft.token_ids)  # type: ignore[no-untyped-call]


def _proposing(answer: Answer, round_: Round) -> Levels[Draft | None]:
    with _on_its_own(answer):
        return (yield from answer.roster.proposing(round_.plan, round_.position, round_.index))
    return None


def _judge(answers: Sequence[Answer]) -> None:
    """Score all answers' known tokens and drafts in one pass of the target, and judge each draft by that. All scores
    are asked for before the host waits for anything."""
    rounds = [(answer, round_) for answer in answers if (round_ := answer.round)]
    every = _scored(rounds)
    built = time.perf_counter()
    for (answer, round_), logits in zip(rounds, every, strict=True):
        round_.company = len(rounds) > 1
        with _on_its_own(answer):
            _judge_one(answer, round_, logits, built)


def _judge_one(answer: Answer, round_: Round, logits: mx.array, built: float) -> None:
    ids, tree = round_.draft_ids, round_.tree
    if ids is not None:
        mx.eval(ids)  # a wait, not a read: it only tells the two times apart
    round_.clock.waited((time.perf_counter() - built) * 1e3)
    logits, bias = answer.penalties.parts(logits, ids, tree.seen[:, 1:] if tree else None)
    rows = warped(logits, answer.request.params, bias)
    round_.verdict = answer.judge.verdict(round_.rule, rows, round_.draft, round_.position, round_.index)


def _scored(rounds: Sequence[tuple[Answer, Round]]) -> list[mx.array]:
    """Logits of each answer's rows, on their way."""
    asked = []
    for answer, round_ in rounds:
        # Padding makes one answer's pass as wide as is cheap: the rows of several do that for each other.
        padding = _padding(answer, round_.draft) if len(rounds) == 1 else 0
        asked.append(answer.target.asked(answer.last_token, round_.draft_ids, round_.tree, padding))
    logits = score_all(asked)
    heard = [answer.target.features for answer, _ in rounds if answer.target.features is not None]
    mx.async_eval(heard, logits)  # type: ignore[no-untyped-call]
    return logits


def _may_branch(answer: Answer) -> bool:
    """Whether trees are wanted, the rule can judge them and the target can score them in one pass."""
    judged = answer.request.params.greedy or answer.config.acceptance in TREE_RULES
    return answer.config.tree_speculation and judged and answer.target.takes_trees


def _padding(answer: Answer, draft: Draft | None) -> int:
    """Rows to add to the pass that scores a draft, where more are cheaper; none beyond the end of the context."""
    if draft is None or answer.context_length is None or not answer.target.takes_padding:
        return 0
    count = draft.token_ids.shape[0] + 1
    return max(0, min(answer.controller.rows(count), answer.context_length - answer.position + 1) - count)


def _away_ms(answer: Answer, round_: Round) -> float:
    """For how long of the round's time the answer's reader was busy elsewhere: while a pass of the target was under
    way. A draft that was ready earlier than they came back costs nothing."""
    return 0.0 if round_.draft else answer.away_ms


def _observe(answer: Answer, round_: Round, outcome: Outcome) -> None:
    """Tell the controller of the round, and of what the other drafters would have proposed."""
    answer.controller.observe(
        Observation(
            option=round_.option,
            asked=round_.plan.length,
            drafted=len(outcome.draft_ids),
            tested=outcome.tested,
            accepted=outcome.accepted,
            ratios=outcome.ratios(),
            draft_ms=round_.draft_ms,
            verify_ms=round_.verify_ms,
            passes=round_.passes,
            shape=round_.plan.shape,
            hits=outcome.hits,
            # A pass under way while the answer's reader was away may have been done before they came back.
            telling=not (round_.company or answer.target.built_anew)
            and _away_ms(answer, round_) <= round_.clock.resumed_ms,
            padded=answer.target.padding,
        )
    )
    answer.roster.report_shadows(outcome.token_ids, answer.controller)
