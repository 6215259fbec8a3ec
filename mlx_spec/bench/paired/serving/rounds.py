"""Who is asked what, in which order: each number at once by all sides in turn, then a long prompt among writers."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

from mlx_spec.bench.paired.crowd import CrowdWatch
from mlx_spec.bench.paired.serving.answers import Arrival, Load, Served, ServedAnswer
from mlx_spec.bench.paired.serving.clients import Client
from mlx_spec.bench.paired.serving.plan import BEFORE, OURS, PLAIN, THEIRS, WRITERS, ServePlan, turn_of
from mlx_spec.bench.paired.serving.questions import Question, long_question, short_question, writers_question
from mlx_spec.bench.paired.serving.report import ServeReport
from mlx_spec.bench.paired.serving.together import (
    SETTLED_TEXTS,
    Asking,
    ask_among_writers,
    ask_over_time,
    ask_together,
)
from mlx_spec.errors import LookaheadError

NO_DRAFTS: Final[Mapping[str, Any]] = {"speculation": {"drafter": "none"}}
_WARM_UP_TOKENS: Final = 16
_WARM_UPS: Final = 2
_LATE_TOKENS: Final = 16

Tell = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Servers:
    """Who takes part: clients by side (`ours` always), further fields that all are sent, how tokens are counted for a
    server that does not tell, what waits until nobody computes, and the processes of the measurement."""

    clients: Mapping[str, Client]
    more: Mapping[str, Any]
    count: Callable[[str], int]
    settle: Callable[[], bool] = lambda: True
    pids: tuple[int, ...] = ()

    @property
    def sides(self) -> tuple[str, ...]:
        """Ours without drafts is a side as well."""
        return (*self.clients, PLAIN)

    def asking(self, side: str, max_tokens: int) -> Asking:
        """How a side is asked."""
        more = {**self.more, **NO_DRAFTS} if side == PLAIN else self.more
        return Asking(self.clients[OURS if side == PLAIN else side], max_tokens, more, self.count)


def measure_serving(
    report: ServeReport,
    servers: Servers,
    *,
    number: int,
    settled_texts: int = SETTLED_TEXTS,
    tell: Tell = lambda stage, fraction: None,
    save: Callable[[ServeReport], None] = lambda report: None,
) -> None:
    """Fill a report. `number` and those after it stand in front of the texts: no server was asked one of them before.
    `save` gets it after each turn of a side.

    Raises LookaheadError where a server does not answer even before the measurement; later that is kept as a failure.
    """
    report.conditions["requests from"] = number
    numbers = count(number)
    warm_up(servers, report.plan, numbers, tell)
    settled = True
    if report.plan.rates:
        settled = _measure_loads(report, servers, numbers, tell, save)
    turns = list(_turns(report.plan, servers.sides, numbers)) if report.plan.at_once else []
    for at, (turn, at_once, order, waves) in enumerate(turns):
        for side in order:
            settled &= servers.settle()
            asked = waves[PLAIN if side == PLAIN else OURS]
            if at_once:
                report.runs.append(_served(side, turn, at_once, asked, servers, report.plan))
            else:
                asking = servers.asking(side, report.plan.writer_tokens)
                report.arrivals.append(_arrival(side, turn, asked, asking, settled_texts))
            save(report)
        tell("measuring", (at + 1) / len(turns))
    if not settled:
        report.notes.append("A server was still busy when another one had its turn.")
    report.complete = True
    save(report)


def _measure_loads(
    report: ServeReport,
    servers: Servers,
    numbers: Iterator[int],
    tell: Tell,
    save: Callable[[ServeReport], None],
) -> bool:
    """Each rate by all sides in turn: the same questions at the same moments. Whether all were idle before theirs."""
    plan, settled = report.plan, True
    both = tuple(side for side in servers.sides if side != PLAIN)
    turns = [(turn, at, rate) for turn in range(plan.repeats) for at, rate in enumerate(plan.rates)]
    for done, (turn, at, rate) in enumerate(turns, 1):
        questions = [short_question(index, next(numbers)) for index in range(plan.prompts)]
        arrivals = random.Random(questions[0].number)  # exponential waits are those of a Poisson process
        waits_s = [arrivals.expovariate(rate) for _ in questions]
        for side in turn_of(both, turn + at):
            settled &= servers.settle()
            asking, watch = servers.asking(side, plan.answer_tokens), CrowdWatch(servers.pids)
            answers = ask_over_time(asking, questions, waits_s)
            crowd = watch.read()
            if side != BEFORE:
                answers = compared(answers, questions, asking)
            report.loads.append(Load(side, rate, turn, answers, crowd.others, crowd.stolen))
            save(report)
        tell("measuring", done / len(turns))
    return settled


def warm_up(servers: Servers, plan: ServePlan, numbers: Iterator[int], tell: Tell) -> None:
    """A few answers that do not count, alone and two at once. Raises LookaheadError where one fails."""
    sides = servers.sides
    for at, side in enumerate(sides):
        tell("warming up the servers", at / len(sides))
        asking = servers.asking(side, min(_WARM_UP_TOKENS, plan.answer_tokens))
        for together in range(1, _WARM_UPS + 1):
            questions = [short_question(index, next(numbers)) for index in range(together)]
            for answer in ask_together(asking, questions):
                if answer.error is not None:
                    raise LookaheadError(answer.error)


Waves = dict[str, list[list[Question]]]
"""By ours, whose questions all others are asked too, and plain, which is the same server and would find them read."""
_Turn = tuple[int, int, tuple[str, ...], Waves]


def _turns(plan: ServePlan, sides: tuple[str, ...], numbers: Iterator[int]) -> Iterator[_Turn]:
    """Turn, number at once (0 for the arrival), sides in order, and what is asked."""
    for turn in range(plan.repeats):
        for at, at_once in enumerate(plan.at_once):
            waves = {
                side: [[short_question(index, next(numbers)) for index in wave] for wave in plan.waves(at_once)]
                for side in (OURS, PLAIN)
            }
            yield turn, at_once, turn_of(plan.sides_at(at_once, sides), turn + at), waves
        writers = [writers_question(index, next(numbers)) for index in range(WRITERS)]
        both = tuple(side for side in sides if side in (OURS, THEIRS))
        order = turn_of(both, turn + len(plan.at_once))
        yield turn, 0, order, {OURS: [writers, [long_question(next(numbers))]]}


def _served(
    side: str, turn: int, at_once: int, asked: list[list[Question]], servers: Servers, plan: ServePlan
) -> Served:
    asking = servers.asking(side, plan.answer_tokens)
    watch = CrowdWatch(servers.pids)
    waves = [ask_together(asking, questions) for questions in asked]
    crowd = watch.read()
    if at_once > 1 and side != BEFORE:
        # What ours says alone is what it says alone with drafts.
        alone = servers.asking(OURS, plan.answer_tokens) if side == PLAIN else asking
        waves = [compared(wave, questions, alone) for wave, questions in zip(waves, asked, strict=True)]
    return Served(side, at_once, turn, tuple(waves), crowd.others, crowd.stolen)


def _arrival(side: str, turn: int, asked: list[list[Question]], asking: Asking, settled_texts: int) -> Arrival:
    writers, (late,) = asked
    wrote, came, prompt_tokens = ask_among_writers(asking, writers, late, _LATE_TOKENS, settled=settled_texts)
    (came,) = compared([came], [late], replace(asking, max_tokens=_LATE_TOKENS))
    return Arrival(side, turn, compared(wrote, writers, asking), came, prompt_tokens)


def compared(
    answers: Iterable[ServedAnswer], questions: Sequence[Question], asking: Asking
) -> tuple[ServedAnswer, ...]:
    """The answers with what came of asking the same server each question once more, one after the other."""
    found = []
    for answer, question in zip(answers, questions, strict=True):
        if answer.error is not None:
            found.append(answer)
            continue
        (alone,) = ask_together(asking, [question])
        found.append(replace(answer, same_alone=answer.text == alone.text if alone.error is None else None))
    return tuple(found)
