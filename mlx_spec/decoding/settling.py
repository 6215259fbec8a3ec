"""Keeping what an answer has read, and making it worth what reading a prompt is worth."""

from collections.abc import Generator
from dataclasses import replace
from typing import Final

from mlx_spec.decoding.answer import Answer
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.prompt import read_prompt
from mlx_spec.decoding.request import Request
from mlx_spec.decoding.tally import StatsCounter
from mlx_spec.lookahead.fixed import FixedLookahead
from mlx_spec.models.loading import ModelPair

# The last id of a prompt is not read with it: this one stands for whatever comes next.
_NEXT: Final = 0


def settled(pair: ModelPair, request: Request, prefixes: Prefixes) -> Generator[None]:
    """Read a text that was answered once more, as a prompt is read: its rounds were narrower passes, with other bits
    where rows are not independent. A step a chunk; what was done is kept also where it is given up."""
    if prefixes.rows_are_independent:
        return
    answer = Answer(pair, request, lambda *_: FixedLookahead(0), StatsCounter())
    try:
        for _ in read_prompt(answer, lambda: False, prefixes):
            yield
    finally:
        answer.leave(prefixes)


def read_so_far(answer: Answer) -> Request:
    """The text of an answer as a prompt, for `settled`."""
    return replace(answer.request, prompt_ids=(*answer.text_ids[: answer.num_read], _NEXT))


def nothing() -> Generator[None]:
    """No step at all."""
    yield from ()
