"""Keeping what an answer has read, and making it worth what reading a prompt is worth."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Final

from mlx_spec.decoding.answer import Answer
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.prompt import chunk_tokens, read_prompt
from mlx_spec.decoding.request import Request
from mlx_spec.decoding.tally import StatsCounter
from mlx_spec.lookahead.fixed import FixedLookahead
from mlx_spec.models.loading import ModelPair

# The last id of a prompt is not read with it: this one stands for whatever comes next.
_NEXT: Final = 0


def keep(answer: Answer, prefixes: Prefixes) -> Request:
    """Keep what an answer has read; gives its text as a prompt, for `settled`."""
    if reading := answer.reading(rows_are_independent=prefixes.rows_are_independent):
        prefixes.keep(reading)
    return replace(answer.request, prompt_ids=(*answer.text_ids[: answer.num_read], _NEXT))


def settled(pair: ModelPair, request: Request, prefixes: Prefixes) -> Generator[None]:
    """Read a text that was kept once more, as a prompt is read: its rounds were narrower passes, with other bits where
    rows are not independent. A step a chunk; what was done is kept also where it is given up."""
    if not prefixes.rows_are_independent:
        yield from _read(pair, request, prefixes)


def read_ahead(
    pair: ModelPair, request: Request, texts: Sequence[Sequence[int]], prefixes: Prefixes
) -> Generator[None]:
    """Read what the next prompts will begin with, the likeliest first, as far as whole chunks of it are not known; with
    the drafters of `request`. As `settled` in all else."""
    step = chunk_tokens()
    for ids in texts:
        whole = tuple(ids[: len(ids) // step * step])  # what is no whole chunk is read again in any case
        if prefixes.known(whole, step) < len(whole):
            yield from _read(pair, replace(request, prompt_ids=(*whole, _NEXT)), prefixes)


def _read(pair: ModelPair, request: Request, prefixes: Prefixes) -> Generator[None]:
    """A prompt is read, and no answer is made."""
    answer = Answer(pair, request, lambda *_: FixedLookahead(0), StatsCounter())
    try:
        for _ in read_prompt(answer, lambda: False, prefixes):
            yield
    finally:
        keep(answer, prefixes)


def nothing() -> Generator[None]:
    """No step at all."""
    yield from ()
