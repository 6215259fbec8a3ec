"""What the rounds of a step have shown, told to those who plan the next ones."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from mlx_spec.decoding.answer import Answer
from mlx_spec.decoding.outcome import Outcome
from mlx_spec.decoding.round import Round
from mlx_spec.lookahead.cost_controller import CostLookahead
from mlx_spec.lookahead.plan import Observation
from mlx_spec.lookahead.shared_costs import SharedCosts, SharedDrafting
from mlx_spec.lookahead.together import shared_costs

# A draft that has read more tokens of the text than so many for each of its passes says little of them.
_FEW_BEHIND: Final = 4

Read = tuple[Answer, Round, Outcome]
"""A round whose tokens are known and not yet committed."""


def learn(rounds: Sequence[Read], *, failed: bool) -> None:
    """Tell each answer's controller of its round, and of what the other drafters would have proposed; and what is known
    of shared passes of those that were. Where an answer has `failed`, its rows were in them too."""
    for answer, round_, outcome in rounds:
        _observe(answer, round_, outcome)
        answer.roster.report_shadows(outcome.token_ids, answer.controller)
    if not failed and rounds and rounds[0][1].is_shared:
        _observe_outcomes(rounds)
        _observe_shared(rounds)


def learn_whole(rounds: Sequence[Round], spent_ms: Sequence[float], shared: SharedCosts) -> None:
    """Tell what is known of shared passes what a whole step with drafts has taken, telling its words included: of
    rounds that were launched together each has taken as long."""
    expected_ms = max((round_.plan.step_ms for round_ in rounds if round_.is_shared), default=0.0)
    if expected_ms and len({id(round_.clock) for round_ in rounds}) == 1:
        shared.took(spent_ms[0], expected_ms, len(rounds))


def away_ms(answer: Answer, round_: Round) -> float:
    """For how long of the round's time the answer's reader was busy elsewhere: while a pass of the target was under
    way. A draft that was ready earlier than they came back costs nothing."""
    return 0.0 if round_.clock.drafts else answer.away_ms


def plain_step_ms(answer: Answer, round_: Round, shared: SharedCosts | None) -> float | None:
    """What a plain step would cost now, of all answers that shared the round; None where that is unknown."""
    if not round_.is_shared:
        return answer.controller.plain_step_ms
    return shared.passes.at(round_.answers, round_.answers) if shared and shared.passes.known else None


def _is_telling(answer: Answer, round_: Round) -> bool:
    # A pass under way while the answer's reader was away may have been done before they came back.
    return not answer.target.built_anew and away_ms(answer, round_) <= round_.clock.resumed_ms


def _observe(answer: Answer, round_: Round, outcome: Outcome) -> None:
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
            telling=not round_.is_shared and _is_telling(answer, round_),
            padded=answer.target.padding,
            shared=round_.is_shared,
        )
    )


def _observe_outcomes(rounds: Sequence[Read]) -> None:
    """What the drafts of each drafter brought, and were expected to when they were planned for all together."""
    shared = shared_costs([answer.controller for answer, _, _ in rounds])
    planned = [(round_.plan, outcome) for _, round_, outcome in rounds if round_.plan.expected]
    for name in dict.fromkeys(plan.drafter for plan, _ in planned):
        if shared is not None and name is not None:
            those = [(plan.expected, outcome.accepted) for plan, outcome in planned if plan.drafter == name]
            shared.brought(name, sum(expected for expected, _ in those), sum(accepted for _, accepted in those))


def _observe_shared(rounds: Sequence[Read]) -> None:
    """What one pass took, and the drafting before it, where all were launched together and scored together."""
    (_, first, _), clocks = rounds[0], {id(round_.clock) for _, round_, _ in rounds}
    shared = shared_costs([answer.controller for answer, _, _ in rounds])
    alike = all(shared_costs([answer.controller]) in (shared, None) for answer, _, _ in rounds)
    one_pass = alike and len(clocks) == 1 and first.answers == len(rounds)
    if shared is None or not one_pass or not all(_is_telling(answer, round_) for answer, round_, _ in rounds):
        return
    clock = first.clock
    # Words are told while a plain pass is under way, and before one that has drafts to score.
    told_ms = max(0.0, clock.held_up_ms - max(answer.away_ms for answer, _, _ in rounds))
    verify_ms, drafting = clock.verify_ms + told_ms, _drafting(rounds, shared)
    shared.observe(first.answers, first.pass_rows, verify_ms, *drafting, drafts=clock.drafts)


def _drafting(rounds: Sequence[Read], shared: SharedCosts) -> list[SharedDrafting]:
    """The drafting of each drafter whose model made passes; none where they were not just chains, or read much. Of
    several each has the share of the time that was expected of it."""
    drafted = [(answer, round_) for answer, round_, _ in rounds if round_.passes]
    behind = sum(round_.option.behind for _, round_ in drafted if round_.option)
    chains = all(round_.tree is None for _, round_ in drafted)
    if not drafted or not chains or behind > _FEW_BEHIND * sum(round_.passes for _, round_ in drafted):
        return []
    names = dict.fromkeys(round_.plan.drafter for _, round_ in drafted)
    each = [_drafting_of([one for one in drafted if one[1].plan.drafter == name]) for name in names]
    expected = [
        shared.drafting(one.drafter, one.step_ms, one.token_ms, alone=one.alone).at(one.levels, one.rows)
        for one in each
    ]
    if not all(expected):  # of one nothing is known yet: a token of any takes as long
        expected = [float(one.rows) for one in each]
    whole_ms = drafted[0][1].clock.draft_ms
    return [replace(one, milliseconds=whole_ms * ms / sum(expected)) for one, ms in zip(each, expected, strict=True)]


def _drafting_of(drafted: Sequence[tuple[Answer, Round]]) -> SharedDrafting:
    """That of one drafter, without its time."""
    (answer, first), passes = drafted[0], [round_.passes for _, round_ in drafted]
    behind = sum(round_.option.behind for _, round_ in drafted if round_.option)
    name, controller = first.plan.drafter, answer.controller
    assert name is not None
    known = controller.costs_of(name) if isinstance(controller, CostLookahead) else (0.0, 0.0)
    alone = first.option is not None and first.option.alone
    return SharedDrafting(name, max(passes), sum(passes) + behind, 0.0, *known, alone=alone)
