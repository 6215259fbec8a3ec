"""Reading in idle moments what prompts to come will begin with, and keeping it on disk."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Final

from mlx_spec.decoding.answer import Answer
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.cache.chunks import prompt_passes
from mlx_spec.decoding.prompt import read_prompt
from mlx_spec.decoding.request import Request
from mlx_spec.decoding.tally import StatsCounter
from mlx_spec.lookahead.fixed import FixedLookahead
from mlx_spec.models.loading import ModelPair

# The last id of a prompt is not read with it: this one stands for whatever comes next.
_NEXT: Final = 0


def read_ahead(
    pair: ModelPair, request: Request | None, texts: list[Sequence[int]], prefixes: Prefixes
) -> Generator[None]:
    """Read `texts`, the likeliest first, as a prompt is read, as far as whole passes over them are not known; with the
    drafters of `request`, and for its owner. Rounds that have read them were narrower passes, with other bits where
    rows are not independent, and left no points. Then write what the disk does not have.

    A step a chunk or a block; what was done is kept also where it is given up. What was read is no more in `texts`.
    """
    while texts and request is not None:
        text = replace(request, prompt_ids=(*texts[0], _NEXT), prompt_logprobs=False, predicted_ids=())
        # What is no whole pass is read again in any case.
        if length := prompt_passes().last_begin(len(texts[0]), text.turns):
            yield from _read(pair, replace(text, prompt_ids=(*texts[0][:length], _NEXT)), prefixes)
        del texts[0]
    yield from prefixes.store()


def _read(pair: ModelPair, request: Request, prefixes: Prefixes) -> Generator[None]:
    """A prompt is read, and no answer is made."""
    answer = Answer(pair, request, lambda *_: FixedLookahead(0), StatsCounter())
    reading = read_prompt(answer, lambda: False, prefixes, answered=False)
    next(reading)
    if answer.num_cached == len(request.prompt_ids) - 1:
        answer.give_up()
        return
    try:
        for _ in reading:
            yield
    finally:
        answer.leave(prefixes)


def nothing() -> Generator[None]:
    """No step at all."""
    yield from ()
