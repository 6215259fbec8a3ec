"""Running all contenders in turns: A B C, B C A, C A B.

A machine that is slower for a while is slower for all, and each is first and last equally often. What is compared is
compared within one block: the same prompt, temperature and seed, minutes apart at most.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Final

import mlx.core as mx

from mlx_spec.bench.contenders import Answer, Contender, make_contender, why_not, without_end
from mlx_spec.bench.machine import machine_facts
from mlx_spec.bench.passes import time_passes
from mlx_spec.bench.plan import CONTENDERS, SEED, BenchPlan, Scope
from mlx_spec.bench.prompts import BenchPrompt, prompts_of
from mlx_spec.bench.report import PairFacts, Report
from mlx_spec.bench.runs import Block, Run
from mlx_spec.errors import PromptError
from mlx_spec.models.loading import ModelPair
from mlx_spec.models.memory import weights_bytes

_WARM_UP_TOKENS: Final = 8
_WARM_UP_PROMPT: Final = 12

Tell = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A prompt with its token ids, in the chat template."""

    prompt: BenchPrompt
    ids: list[int]


def measure(
    pair: ModelPair,
    plan: BenchPlan,
    tell: Tell = lambda stage, fraction: None,
    save: Callable[[Report], None] = lambda report: None,
) -> Report:
    """Run a plan. `tell` hears of progress; `save` gets the report so far after each block, so that a measurement of
    hours that is interrupted was not for nothing.

    Raises ModelError where the pair lacks what a contender needs, PromptError where no prompt fits the context.
    """
    report, plan = _opened(pair, plan)
    if plan.past_end:
        pair = without_end(pair)
    ways = {name: make_contender(name, pair, plan, tell) for name in plan.contenders}
    encoded = encoded_prompts(pair, plan, report.notes)
    warm_up(ways, encoded, plan)
    blocks = list(blocks_of(plan, encoded))
    total = sum(len(plan.contenders_at(block[0])) for block, _ in blocks)
    done = 0
    for at, (block, one) in enumerate(blocks):
        names = plan.contenders_at(block[0])
        names = names[at % len(names) :] + names[: at % len(names)]
        here = in_turns({name: ways[name] for name in names}, block, one.ids, plan)
        done += len(names)
        tell("measuring", done / total)
        widths = chain.from_iterable((drafted + 1 for drafted, _ in run.rounds_by_draft) for run in here)
        report.runs += here
        report.passes.append(time_passes(pair, block, one.ids, widths, plan.answer_tokens, plan.kv_bits))
        report.complete = at + 1 == len(blocks)
        save(report)
    return report


def _opened(pair: ModelPair, plan: BenchPlan) -> tuple[Report, BenchPlan]:
    """A report without runs, and its plan. Of one that asks for everything, what the pair cannot do is left out, and
    said."""
    notes = []
    if set(CONTENDERS) <= set(plan.contenders):
        obstacles = {name: reason for name in plan.contenders if (reason := why_not(name, pair)) is not None}
        if obstacles and set(obstacles) != set(plan.contenders):
            notes += list(dict.fromkeys(obstacles.values()))
            kept = tuple(name for name in plan.contenders if name not in obstacles)
            plan = replace(plan, contenders=kept)
    facts = PairFacts(
        pair.target_name,
        pair.draft_name,
        weights_bytes(pair.target),
        weights_bytes(pair.draft) if pair.draft is not None else 0,
        sum(weights_bytes(head) for head in pair.heads.values()),
    )
    return Report(machine_facts(), facts, plan, notes=notes), plan


def encoded_prompts(pair: ModelPair, scope: Scope, notes: list[str]) -> list[Encoded]:
    """The prompts as token ids, without those that would not leave room for their answer, which `notes` gets to tell.

    Raises PromptError where none fits.
    """
    fitting = []
    for prompt in chain.from_iterable(prompts_of(kind, scope.prompts) for kind in scope.kinds):
        ids = pair.encode_chat([{"role": "user", "content": prompt.text}])
        if pair.context_length is None or len(ids) + scope.answer_tokens <= pair.context_length:
            fitting.append(Encoded(prompt, ids))
        else:
            notes.append(
                f"{prompt.kind} {prompt.index + 1} is left out: {len(ids):,} tokens and the answer do not fit a "
                f"context of {pair.context_length:,}."
            )
    if not fitting:
        raise PromptError(
            f"No prompt fits: the context of {pair.target_name} holds {pair.context_length or 0:,} tokens, so ask for "
            "shorter answers or other kinds."
        )
    return fitting


def warm_up(ways: Mapping[str, Contender], encoded: list[Encoded], scope: Scope) -> None:
    """A short answer of each contender, which does not count."""
    for way in ways.values():
        way.warm_up(encoded[0].ids[:_WARM_UP_PROMPT], {0.0, max(scope.temperatures)}, _WARM_UP_TOKENS)


def blocks_of(scope: Scope, encoded: list[Encoded]) -> Iterator[tuple[Block, Encoded]]:
    """Repeats outermost: a run that is cut short has covered everything about equally."""
    for repeat in range(scope.repeats):
        for temperature in scope.temperatures:
            for one in encoded:
                yield (temperature, one.prompt.kind, one.prompt.index, repeat), one


def in_turns(ways: Mapping[str, Contender], block: Block, prompt_ids: list[int], scope: Scope) -> list[Run]:
    """A run of each contender, in the order that they come: whole answers, or slices of them."""
    if scope.slices:
        return _interleaved(ways, block, prompt_ids, scope)
    return [_run(name, way, block, prompt_ids, scope) for name, way in ways.items()]


def _run(name: str, way: Contender, block: Block, prompt_ids: list[int], scope: Scope) -> Run:
    temperature, _, _, repeat = block
    mx.clear_cache()
    mx.reset_peak_memory()
    answer = way.answer(prompt_ids, temperature, SEED + repeat, scope.answer_tokens)
    return _as_run(name, block, answer, mx.get_peak_memory())


def _interleaved(ways: Mapping[str, Contender], block: Block, prompt_ids: list[int], scope: Scope) -> list[Run]:
    """All contenders' answers to one prompt, `scope.slices` tokens of each in turn."""
    temperature, _, _, repeat = block
    steps = {
        name: way.answering(prompt_ids, temperature, SEED + repeat, scope.answer_tokens) for name, way in ways.items()
    }
    runs, goal = {}, 0
    waited = dict.fromkeys(ways, 0.0)
    while steps:
        goal += scope.slices
        for name, answering in list(steps.items()):
            try:
                while next(answering) < goal:
                    pass
                waited[name] += _finish_what_was_begun()
            except StopIteration as end:
                answer: Answer = end.value
                runs[name] = _as_run(name, block, replace(answer, seconds=answer.seconds + waited[name]), None)
                del steps[name]
    return [runs[name] for name in ways]


def _finish_what_was_begun() -> float:
    """Wait, at the end of a turn, for the pass that a contender has begun ahead; gives the seconds, which are its own:
    the next one shall not pay them, and who begins nothing ahead would otherwise pay a pass more a turn."""
    started = time.perf_counter()
    mx.synchronize()
    return time.perf_counter() - started


def _as_run(name: str, block: Block, answer: Answer, peak_bytes: int | None) -> Run:
    values = {field.name: getattr(answer, field.name) for field in fields(Answer)}
    return Run(name, *block, **values, peak_bytes=peak_bytes)
