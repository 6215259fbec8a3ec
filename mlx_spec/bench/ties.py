"""How often fast passes give another token than plain steps do, and how near a tie that was.

Each answer is given plainly, alone, and then in a crowd that drafts, in passes of any width. Up to the first token
that differs both have read the same text, so that it is rounding that decided; what comes behind it says nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from mlx_spec.batching.batch import Batch
from mlx_spec.batching.settings import BatchSettings
from mlx_spec.bench.prompts import bench_prompts
from mlx_spec.config import Exactness, SamplingParams, SpeculativeConfig
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.events import AnswerFailed, Event, GenerationFinished, RoundFinished
from mlx_spec.machine.kernels import dispatch
from mlx_spec.models.loading import ModelPair

TEMPERATURES: Final = (0.0, 0.7, 1.0)
_PROMPTS: Final = 40
_AT_ONCE: Final = 8

Tell = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Said:
    """The tokens of an answer, and by how much each beat the next best one."""

    token_ids: tuple[int, ...]
    margins: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class TieReport:
    """Of `answers`, `compared` tokens were said behind the same text in both ways, `different` of them are others:
    `margins` (ascending) is by how much plain decoding preferred its own there. `least` is the least margin of all that
    were compared, `strict_different` how many answers differ where passes are strict, None where that was not asked."""

    answers: int
    compared: int
    different: int
    margins: tuple[float, ...]
    least: float | None
    row_invariant_width: int | None
    strict_different: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def measure_ties(
    pair: ModelPair, answers: int, tokens: int, tell: Tell, *, strict: bool = False, at_once: int = _AT_ONCE
) -> TieReport:
    """Give `answers` of up to `tokens` tokens plainly and in a crowd of `at_once`; with `strict` in strict passes
    too, which are compared with plain decoding's own strict ones where these have kernels of ours."""
    asked = _asked(pair, answers)
    plain = _alone(pair, asked, tokens, tell)
    fast = _in_a_crowd(pair, asked, tokens, SpeculativeConfig(exactness="fast"), at_once, tell)
    told = compared(plain, fast)
    decoder = SpeculativeDecoder(pair)
    widths = decoder.row_widths
    told = replace(told, row_invariant_width=widths.width if widths else None)
    if strict:
        exact = _in_a_crowd(pair, asked, tokens, SpeculativeConfig(exactness="strict"), at_once, tell)
        alone = _alone(pair, asked, tokens, tell, "strict") if dispatch.serves() else plain
        told = replace(told, strict_different=compared(alone, exact).different)
    return told


def compared(plain: Sequence[Said], fast: Sequence[Said]) -> TieReport:
    """What two lists of the same answers show."""
    count, margins, seen = 0, [], []
    for one, other in zip(plain, fast, strict=True):
        pairs = list(zip(one.token_ids, other.token_ids, strict=False))
        at = next((at for at, (left, right) in enumerate(pairs) if left != right), len(pairs))
        count += min(at + 1, len(pairs))
        seen += [margin for margin in one.margins[: at + 1] if margin is not None]
        if at < len(pairs):
            margins.append(one.margins[at] or 0.0)
    return TieReport(len(plain), count, len(margins), tuple(sorted(margins)), min(seen, default=None), None)


def _asked(pair: ModelPair, answers: int) -> list[tuple[list[int], SamplingParams]]:
    prompts = [pair.encode_chat([{"role": "user", "content": text}]) for text in bench_prompts(_PROMPTS)]
    return [
        (prompts[number % len(prompts)], SamplingParams(temperature=TEMPERATURES[number % 3], seed=number))
        for number in range(answers)
    ]


def _alone(
    pair: ModelPair,
    asked: Sequence[tuple[list[int], SamplingParams]],
    tokens: int,
    tell: Tell,
    exactness: Exactness = "fast",
) -> list[Said]:
    decoder = SpeculativeDecoder(pair, SpeculativeConfig(exactness=exactness), drafter="none")
    found = []
    for number, (prompt_ids, params) in enumerate(asked):
        tell("answering plainly", number / len(asked))
        found.append(_said(decoder.stream(prompt_ids, params, tokens)))
    return found


def _in_a_crowd(
    pair: ModelPair,
    asked: Sequence[tuple[list[int], SamplingParams]],
    tokens: int,
    config: SpeculativeConfig,
    at_once: int,
    tell: Tell,
) -> list[Said]:
    decoder = SpeculativeDecoder(pair, config)
    decoder.calibrate(tell)
    batch = Batch(decoder, BatchSettings(max_batch=at_once, max_waiting=len(asked)))
    for number, (prompt_ids, params) in enumerate(asked):
        batch.add(str(number), prompt_ids, params, tokens)
    told: dict[str, list[Event]] = {str(number): [] for number in range(len(asked))}
    done = 0
    while not batch.is_idle:
        tell(f"answering {at_once} at once, {config.exactness}", done / len(asked))
        for request_id, event in batch.step():
            told[request_id].append(event)
            done += isinstance(event, GenerationFinished | AnswerFailed)
    return [_said(events) for events in told.values()]


def _said(events: Any) -> Said:
    token_ids: list[int] = []
    margins: list[float | None] = []
    for event in events:
        if isinstance(event, AnswerFailed):
            raise event.error
        if isinstance(event, RoundFinished):
            token_ids += [token.token_id for token in event.emitted]
            margins += [token.margin for token in event.emitted]
    return Said(tuple(token_ids), tuple(margins))
