"""Chats of three turns, by two sides: how long each turn's first text is waited for.

Turn by turn of all chats, and within a turn both sides after each other: what is kept of one chat must outlast the
others. Each side goes on from its own answers.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from mlx_spec.bench.paired.chats import FIRST_COPY, TURNS, BenchChat, chats_of
from mlx_spec.bench.paired.crowd import Crowd, CrowdWatch
from mlx_spec.bench.paired.models import kept_calibrations
from mlx_spec.bench.paired.modes import COLD, OURS, PREFIXES, THEIRS
from mlx_spec.bench.paired.partners import DecoderPartner, Partner, Replies, Reply, ServerPartner
from mlx_spec.bench.paired.report import PairedReport
from mlx_spec.bench.paired.runs import PairedRun
from mlx_spec.bench.plan import SEED, Scope
from mlx_spec.bench.runs import Block
from mlx_spec.errors import PromptError
from mlx_spec.machine.resources import data_folder
from mlx_spec.models.loading import ModelPair

_KIND: Final = "chat"
_WARM_UP_TOKENS: Final = 8

Tell = Callable[[str, float], None]
Save = Callable[[PairedReport], None]


def measure_turns(
    report: PairedReport,
    pair: ModelPair,
    *,
    tell: Tell = lambda stage, fraction: None,
    save: Save = lambda report: None,
) -> None:
    """Fill a report of mode `turns`: two decoders of one pair. `save` gets it after each turn.

    Raises PromptError where the chats do not fit the context.
    """
    _check_room(report.scope, pair)
    keeping = DecoderPartner(pair, cold=False, tell=tell)
    sides: dict[str, Partner] = {PREFIXES: keeping, COLD: DecoderPartner(pair, cold=True)}
    report.conditions["calibrated"] = kept_calibrations(data_folder(), pair.target_name)[:1]

    def kept(report: PairedReport) -> None:
        assert keeping.prefixes is not None
        report.conditions["kept"] = {"MB": keeping.prefixes.stats.kept_bytes / 1e6}
        save(report)

    hold_chats(report, sides, tell=tell, save=kept)


def measure_turns_beside(
    report: PairedReport,
    ours: Replies,
    theirs: Replies,
    *,
    copy: int,
    count: Callable[[str], int],
    settle: Callable[[], bool] = lambda: True,
    pids: tuple[int, ...] = (),
    tell: Tell = lambda stage, fraction: None,
    save: Save = lambda report: None,
) -> None:
    """Fill a report of mode `turns-beside`; `count`, `settle` and `pids` as `measure_beside` takes them.

    `copy` is a number that neither server has been asked before, see `chats_of`. Raises LookaheadError where a server
    fails.
    """
    sides: dict[str, Partner] = {OURS: ServerPartner(ours, count), THEIRS: ServerPartner(theirs, count)}
    settled: list[bool] = []

    def wait() -> None:
        settled.append(settle())

    hold_chats(report, sides, copy=copy, wait=wait, pids=pids, tell=tell, save=save)
    if not all(settled):
        report.notes.append("Our own server was still busy at some of the other's turns.")
        save(report)


def hold_chats(
    report: PairedReport,
    sides: Mapping[str, Partner],
    *,
    copy: int = FIRST_COPY,
    wait: Callable[[], None] = lambda: None,
    pids: tuple[int, ...] = (),
    tell: Tell = lambda stage, fraction: None,
    save: Save = lambda report: None,
) -> None:
    """Let both sides read a first message that does not count, then all chats turn by turn. `wait` is called before
    each answer; `pids` belong to the measurement."""
    scope = report.scope
    report.conditions["copies from"] = copy
    asked = chats_of(1, copy)[0].messages(())
    for at, partner in enumerate(sides.values()):
        tell("warming up both sides", at / len(sides))
        partner.reply(asked, 0.0, SEED, min(_WARM_UP_TOKENS, scope.answer_tokens))
    chats = list(_chats(scope, copy + 1))
    said: dict[tuple[str, Block], tuple[str, ...]] = {}
    turns = list(_turns(chats))
    for at, (turn, block, chat) in enumerate(turns):
        order = list(sides) if (turn + chat.index) % 2 == 0 else list(sides)[::-1]
        for side in order:
            wait()
            watch = CrowdWatch(pids)
            before = said.get((side, block), ())
            reply = sides[side].reply(chat.messages(before), block[0], SEED + block[3], scope.answer_tokens)
            said[side, block] = (*before, reply.content)
            report.runs.append(_run(side, block, turn, reply, watch.read() if side != THEIRS else None))
        report.complete = at + 1 == len(turns)
        tell("measuring", (at + 1) / len(turns))
        save(report)


def _chats(scope: Scope, copy: int) -> Iterator[list[tuple[Block, BenchChat]]]:
    """The chats of each repeat and temperature, no two of them with the same beginning."""
    for repeat in range(scope.repeats):
        for temperature in scope.temperatures:
            chats = chats_of(scope.prompts, copy)
            yield [((temperature, _KIND, chat.index, repeat), chat) for chat in chats]
            copy += len(chats)


def _turns(chats: list[list[tuple[Block, BenchChat]]]) -> Iterator[tuple[int, Block, BenchChat]]:
    for some in chats:
        for turn in range(1, TURNS + 1):
            for block, chat in some:
                yield turn, block, chat


def _check_room(scope: Scope, pair: ModelPair) -> None:
    """An answer read again has at most a few tokens more than were said, in what the template puts around it."""
    longest = max(
        len(pair.encode_chat(chat.messages(("",) * (TURNS - 1)))) + TURNS * scope.answer_tokens
        for chat in chats_of(scope.prompts)
    )
    if pair.context_length is not None and longest > pair.context_length:
        raise PromptError(
            f"No chat fits: it takes {longest:,} tokens, and the context of {pair.target_name} holds "
            f"{pair.context_length:,}, so ask for shorter answers or another model."
        )


def _run(side: str, block: Block, turn: int, reply: Reply, crowd: Crowd | None) -> PairedRun:
    """While the other server answers, it is itself most of what others use: nothing is told of that."""
    measures: dict[str, Any] = {name: value for name, value in asdict(reply).items() if name != "content"}
    return PairedRun(
        side,
        *block,
        turn=turn,
        others=crowd.others if crowd else None,
        stolen=crowd.stolen if crowd else None,
        **measures,
    )
