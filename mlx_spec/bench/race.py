"""A short race of a loaded pair: is it worth having here? Plain decoding and speculation answer in turn."""

import time
from collections.abc import Callable
from datetime import date
from itertools import cycle
from typing import Final

from mlx_spec.bench.contenders import Contender, Ours
from mlx_spec.bench.plan import Way
from mlx_spec.bench.prompts import bench_prompts
from mlx_spec.errors import ModelError
from mlx_spec.models.loading import ModelPair
from mlx_spec.models.races import RaceResult, this_machine

RACE_S: Final = 20.0
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
    lanes = contenders or (Ours(pair, Way("none")), Ours(pair, Way("auto"), tell=tell))
    texts = bench_prompts(_PROMPTS)
    for lane in lanes:
        lane.answer(pair.encode_chat(_message(texts[0])), 0.0, _SEED, _WARM_UP_TOKENS)
    spent, tokens, answers, same = [0.0, 0.0], [0, 0], 0, True
    began = clock()
    for turn, text in enumerate(cycle(texts)):
        prompt_ids = pair.encode_chat(_message(text))
        said: list[tuple[int, ...]] = [(), ()]
        for at in (0, 1) if turn % 2 == 0 else (1, 0):
            answer = lanes[at].answer(prompt_ids, 0.0, _SEED, _ANSWER_TOKENS)
            said[at] = answer.token_ids
            spent[at] += answer.seconds
            tokens[at] += len(answer.token_ids)
        same &= said[0] == said[1]
        answers += 1
        tell("racing", min(1.0, (clock() - began) / seconds))
        if clock() - began >= seconds:
            break
    if not all(tokens) or not all(spent):
        raise ModelError(f"{pair.target_name} said nothing to any prompt, so there was nothing to race.")
    plain_rate, rate = tokens[0] / spent[0], tokens[1] / spent[1]
    return RaceResult(
        target=pair.target_name,
        draft=pair.draft_name or "",
        machine=this_machine(),
        ratio=rate / plain_rate,
        plain_rate=plain_rate,
        rate=rate,
        tokens=tokens[1],
        answers=answers,
        same_words=same,
        day=date.today().isoformat(),
    )


def _message(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]
