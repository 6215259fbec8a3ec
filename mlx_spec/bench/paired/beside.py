"""Our server beside another one: the same questions, prompt by prompt in turns, as a client sees them stream in."""

from collections.abc import Callable
from typing import Final, Protocol

from mlx_spec.bench.paired.chat_client import StreamedAnswer
from mlx_spec.bench.paired.crowd import Crowd, CrowdWatch
from mlx_spec.bench.paired.modes import OURS, THEIRS
from mlx_spec.bench.paired.report import PairedReport
from mlx_spec.bench.paired.runs import PairedRun
from mlx_spec.bench.prompts import prompts_of
from mlx_spec.bench.runs import Block

_WARM_UP: Final = "Count from one to ten."
_WARM_UPS: Final = 2
_WARM_UP_TOKENS: Final = 32

Tell = Callable[[str, float], None]


class Answers(Protocol):
    """What is asked of a server; `ChatClient` is the real one."""

    def answer(self, text: str, temperature: float, max_tokens: int) -> StreamedAnswer: ...


def measure_beside(
    report: PairedReport,
    ours: Answers,
    theirs: Answers,
    *,
    count: Callable[[str], int],
    settle: Callable[[], bool] = lambda: True,
    pids: tuple[int, ...] = (),
    tell: Tell = lambda stage, fraction: None,
    save: Callable[[PairedReport], None] = lambda report: None,
) -> None:
    """Fill a report of mode `beside`. `save` gets it after each prompt.

    `count` counts the tokens of a text for a server that does not, `settle` waits until our server, which goes on
    warming up while it has nothing to do, leaves the machine to the other one; `pids` is our server's.

    Raises LookaheadError where a server fails.
    """
    scope = report.scope
    servers: dict[str, Answers] = {OURS: ours, THEIRS: theirs}
    for at in range(_WARM_UPS):
        for temperature in scope.temperatures:
            for server in servers.values():
                server.answer(_WARM_UP, temperature, min(_WARM_UP_TOKENS, scope.answer_tokens))
        tell("warming up both servers", (at + 1) / _WARM_UPS)
    prompts = [prompt for kind in scope.kinds for prompt in prompts_of(kind, scope.prompts)]
    turns = [
        ((temperature, prompt.kind, prompt.index, repeat), prompt.text)
        for repeat in range(scope.repeats)
        for temperature in scope.temperatures
        for prompt in prompts
    ]
    settled = True
    for at, (block, text) in enumerate(turns):
        for side in (OURS, THEIRS) if at % 2 == 0 else (THEIRS, OURS):
            settled &= settle()
            watch = CrowdWatch(pids)
            answer = servers[side].answer(text, block[0], scope.answer_tokens)
            report.runs.append(_run(side, block, answer, count, watch.read() if side == OURS else None))
        report.complete = at + 1 == len(turns)
        tell("measuring", (at + 1) / len(turns))
        save(report)
    if not settled:
        report.notes.append("Our own server was still busy at some of the other's turns.")
        save(report)


def _run(
    side: str, block: Block, answer: StreamedAnswer, count: Callable[[str], int], crowd: Crowd | None
) -> PairedRun:
    """While the other server answers, it is itself most of what others use: nothing is told of that."""
    tokens = answer.tokens if answer.tokens is not None else count(answer.text)
    return PairedRun(
        side,
        *block,
        tokens=tokens,
        timed_tokens=max(0, tokens - 1),
        seconds=(answer.last_text_s or 0.0) - (answer.first_text_s or 0.0),
        first_text_seconds=answer.first_text_s,
        text=answer.text,
        others=crowd.others if crowd else None,
        stolen=crowd.stolen if crowd else None,
    )
