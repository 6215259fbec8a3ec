"""A short race of a loaded pair: is it worth having here? Plain decoding and speculation answer in turn."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from itertools import cycle
from typing import Final

from mlx_spec.bench.contenders import Contender, Ours
from mlx_spec.bench.plan import RACE_S, Way
from mlx_spec.bench.prompts import bench_prompts
from mlx_spec.errors import ModelError
from mlx_spec.models.loading import ModelPair
from mlx_spec.models.races import RaceResult, this_machine

_ANSWER_TOKENS: Final = 48
_WARM_UP_TOKENS: Final = 4
_PROMPTS: Final = 40
_SEED: Final = 7

Tell = Callable[[str, float], None]


def race(
    pair: ModelPair,
    seconds: float = RACE_S,
    tell: Tell = lambda stage, fraction: None,
    *,
    contenders: tuple[Contender, Contender] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> RaceResult:
    """Race for about `seconds`, after calibrating, at temperature 0; the last turns end what they began.

    Each prompt is answered both ways, and who begins alternates, so that a machine that is slower for a while is slower
    for both. `contenders` are plain decoding and speculation, `clock` tells seconds. Raises ModelError where no answer
    had a token.
    """
    ours = contenders or (Ours(pair, Way("none")), Ours(pair, Way("auto"), tell=tell))
    plain, speculative = lanes = [_Lane(contender) for contender in ours]
    texts = bench_prompts(_PROMPTS)
    for lane in lanes:
        lane.contender.answer(pair.encode_chat(_message(texts[0])), 0.0, _SEED, _WARM_UP_TOKENS)
    answers, same = 0, True
    began = clock()
    for turn, text in enumerate(cycle(texts)):
        prompt_ids = pair.encode_chat(_message(text))
        for lane in lanes if turn % 2 == 0 else reversed(lanes):
            lane.answer(prompt_ids)
        same &= plain.said == speculative.said
        answers += 1
        tell("racing", min(1.0, (clock() - began) / seconds))
        if clock() - began >= seconds:
            break
    if not all(lane.tokens and lane.seconds for lane in lanes):
        raise ModelError(f"{pair.target_name} said nothing to any prompt, so there was nothing to race.")
    return RaceResult(
        target=pair.target_name,
        draft=pair.draft_name or "",
        machine=this_machine(),
        ratio=speculative.rate / plain.rate,
        plain_rate=plain.rate,
        rate=speculative.rate,
        tokens=speculative.tokens,
        answers=answers,
        same_words=same,
        day=date.today().isoformat(),
    )


@dataclass(slots=True)
class _Lane:
    """One of the two, with what it has answered so far, and what it `said` last."""

    contender: Contender
    seconds: float = 0.0
    tokens: int = 0
    said: tuple[int, ...] = ()

    def answer(self, prompt_ids: list[int]) -> None:
        answer = self.contender.answer(prompt_ids, 0.0, _SEED, _ANSWER_TOKENS)
        self.said = answer.token_ids
        self.seconds += answer.seconds
        self.tokens += len(answer.token_ids)

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


def _message(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]
