"""How often fast passes give another token than plain steps do, and how near a tie that was.

Each answer is given plainly, alone, and then in a crowd that drafts, in passes of any width. Up to the first token
that differs both have read the same text, so that it is rounding that decided; what comes behind it says nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Self

from mlx_spec.batching.batch import Batch
from mlx_spec.batching.settings import BatchSettings
from mlx_spec.bench.machine import machine_facts
from mlx_spec.bench.prompts import bench_prompts
from mlx_spec.config import Exactness, SamplingParams, SpeculativeConfig
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.events import AnswerFailed, Event, GenerationFinished, RoundFinished
from mlx_spec.machine.kernels import dispatch
from mlx_spec.models.loading import ModelPair

TIES: Final = "ties"
"""What a report says its mode is."""
TEMPERATURES: Final = (0.0, 0.7, 1.0)
END: Final = -1
"""Stands for the end of an answer, among its tokens: to end is a choice like any other."""
_PROMPTS: Final = 40
_AT_ONCE: Final = 8

Tell = Callable[[str, float], None]
Asked = tuple[list[int], SamplingParams]


@dataclass(frozen=True, slots=True)
class Said:
    """The tokens of an answer, `END` among them, by how much each beat the next best one (None: nothing else could have
    been said), and how many tokens were drafted for it and accepted."""

    token_ids: tuple[int, ...]
    margins: tuple[float | None, ...]
    drafted: int = 0
    accepted: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """The first token of an answer that is another than plain decoding's: which answer, the `place` of the token in it,
    plain decoding's token and the other, and by how much each beat what came next there."""

    answer: int
    temperature: float
    place: int
    token_ids: tuple[int, int]
    margins: tuple[float | None, float | None]

    @property
    def margin(self) -> float:
        """By how much plain decoding preferred its own; where it had no other choice, infinitely."""
        return float("inf") if self.margins[0] is None else self.margins[0]


@dataclass(frozen=True, slots=True)
class TieReport:
    """Of `answers` of up to `tokens` tokens, given `at_once` in passes of any width with `drafted` and `accepted`
    drafts, `compared` tokens were said behind the same text as by plain decoding; `differences` are those that are
    others. `least` is the least margin of all that were compared, `strict_differences` what differs where passes are
    strict, None where that was not asked."""

    answers: int
    compared: int
    differences: tuple[Difference, ...]
    least: float | None
    tokens: int = 0
    at_once: int = 1
    drafted: int = 0
    accepted: int = 0
    row_invariant_width: int | None = None
    strict_differences: tuple[Difference, ...] | None = None
    machine: dict[str, Any] = field(default_factory=dict)

    @property
    def margins(self) -> tuple[float, ...]:
        """Those of the differences, ascending."""
        return tuple(sorted(difference.margin for difference in self.differences))

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self) | {"mode": TIES, "different": len(self.differences)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """From what `to_dict` gave. Raises KeyError or TypeError for anything else."""
        told = {name: values[name] for name in cls.__dataclass_fields__}
        for name in ("differences", "strict_differences"):
            if told[name] is not None:
                told[name] = tuple(_difference(each) for each in told[name])
        return cls(**told)


def measure_ties(
    pair: ModelPair,
    answers: int,
    tokens: int,
    tell: Tell,
    save: Callable[[TieReport], None] = lambda report: None,
    *,
    strict: bool = False,
    at_once: int = _AT_ONCE,
) -> TieReport:
    """Give `answers` of up to `tokens` tokens plainly and in a crowd of `at_once`; with `strict` in strict passes
    too, which are compared with plain decoding's own strict ones where these have kernels of ours. After each prompt
    was used once, what is known is handed to `save`."""
    machine = machine_facts()
    save(TieReport(0, 0, (), None, machine=machine))  # a file that cannot be written is told before hours of measuring
    asked, sides = _asked(pair, answers), _Sides(pair, at_once, tell)
    told = TieReport(0, 0, (), None)
    for begin in range(0, answers, _PROMPTS):
        sides.answer(asked, range(begin, min(begin + _PROMPTS, answers)), tokens, strict=strict)
        told = replace(sides.report([params.temperature for _, params in asked]), tokens=tokens, machine=machine)
        save(told)
    return told


class _Sides:
    """The ways of answering that are compared, with what each has said so far."""

    def __init__(self, pair: ModelPair, at_once: int, tell: Tell) -> None:
        self._pair, self._at_once, self._tell = pair, at_once, tell
        self._decoders: dict[tuple[Exactness, bool], SpeculativeDecoder] = {}
        self._said: dict[tuple[Exactness, bool], list[Said]] = defaultdict(list)

    def answer(self, asked: Sequence[Asked], numbers: range, tokens: int, *, strict: bool) -> None:
        """Give some of the answers in each way; with `strict` in strict passes too."""
        for exactness in ("fast", "strict") if strict else ("fast",):
            # Where strict passes have kernels of ours, so have strict plain steps; else these are plain steps anyway.
            if exactness == "fast" or dispatch.serves():
                self._alone(asked, numbers, tokens, exactness)
            self._in_a_crowd(asked, numbers, tokens, exactness)

    def report(self, temperatures: Sequence[float]) -> TieReport:
        """What all that was said shows."""
        plain, fast = self._said["fast", False], self._said["fast", True]
        told = compared(plain, fast, temperatures[: len(plain)])
        widths = self._decoders["fast", True].row_widths
        told = replace(told, at_once=self._at_once, row_invariant_width=widths.width if widths else None)
        if not (strict := self._said["strict", True]):
            return told
        alone = self._said["strict", False] or plain
        return replace(told, strict_differences=compared(alone, strict, temperatures[: len(plain)]).differences)

    def _decoder(self, exactness: Exactness, *, drafts: bool) -> SpeculativeDecoder:
        key = exactness, drafts
        if key not in self._decoders:
            config = SpeculativeConfig(exactness=exactness)
            self._decoders[key] = SpeculativeDecoder(self._pair, config, drafter="auto" if drafts else "none")
            if drafts:
                self._decoders[key].calibrate(self._tell)
        return self._decoders[key]

    def _alone(self, asked: Sequence[Asked], numbers: range, tokens: int, exactness: Exactness) -> None:
        decoder = self._decoder(exactness, drafts=False)
        for number in numbers:
            self._tell("answering plainly", number / len(asked))
            self._said[exactness, False].append(_said(decoder.stream(*asked[number], tokens)))

    def _in_a_crowd(self, asked: Sequence[Asked], numbers: range, tokens: int, exactness: Exactness) -> None:
        decoder = self._decoder(exactness, drafts=True)
        batch = Batch(decoder, BatchSettings(max_batch=self._at_once, max_waiting=len(numbers)))
        for number in numbers:
            batch.add(str(number), *asked[number], tokens)
        told: dict[str, list[Event]] = {str(number): [] for number in numbers}
        done = numbers.start
        while not batch.is_idle:
            self._tell(f"answering {self._at_once} at once, {exactness}", done / len(asked))
            for request_id, event in batch.step():
                told[request_id].append(event)
                done += isinstance(event, GenerationFinished | AnswerFailed)
        self._said[exactness, True] += [_said(events) for events in told.values()]


def compared(plain: Sequence[Said], fast: Sequence[Said], temperatures: Sequence[float]) -> TieReport:
    """What two lists of the same answers, at these temperatures, show."""
    count, found, seen = 0, [], []
    for number, (one, other, temperature) in enumerate(zip(plain, fast, temperatures, strict=True)):
        pairs = list(zip(one.token_ids, other.token_ids, strict=False))
        at = next((at for at, (left, right) in enumerate(pairs) if left != right), len(pairs))
        count += min(at + 1, len(pairs))
        seen += [margin for margin in one.margins[: at + 1] if margin is not None]
        if at < len(pairs):
            found.append(Difference(number, temperature, at, pairs[at], (one.margins[at], other.margins[at])))
    drafted, accepted = sum(said.drafted for said in fast), sum(said.accepted for said in fast)
    return TieReport(len(plain), count, tuple(found), min(seen, default=None), drafted=drafted, accepted=accepted)


def _difference(values: dict[str, Any]) -> Difference:
    pairs = {name: tuple(values[name]) for name in ("token_ids", "margins")}
    return Difference(**{**values, **pairs})


def _asked(pair: ModelPair, answers: int) -> list[Asked]:
    prompts = [pair.encode_chat([{"role": "user", "content": text}]) for text in bench_prompts(_PROMPTS)]
    return [
        (prompts[number % len(prompts)], SamplingParams(temperature=TEMPERATURES[number % 3], seed=number))
        for number in range(answers)
    ]


def _said(events: Iterable[Event]) -> Said:
    token_ids: list[int] = []
    margins: list[float | None] = []
    end_margin, drafted, accepted = None, 0, 0
    for event in events:
        if isinstance(event, AnswerFailed):
            raise event.error
        if isinstance(event, RoundFinished):
            token_ids += [token.token_id for token in event.emitted]
            margins += [token.margin for token in event.emitted]
            end_margin = event.end_margin
            drafted, accepted = drafted + len(event.drafted), accepted + event.accepted_count
        if isinstance(event, GenerationFinished) and event.finish_reason == "stop":
            token_ids, margins = [*token_ids, END], [*margins, end_margin]
    return Said(tuple(token_ids), tuple(margins), drafted, accepted)
