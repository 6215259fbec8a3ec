"""Reading a prompt: all of it but its last token, which the first round scores together with its drafts."""

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

import mlx.core as mx

from mlx_spec.decoding.answer import Answer
from mlx_spec.decoding.cache.blocks.chain import TARGET, beginning_of
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.cache.chunks import POINT_TOKENS, chunk_tokens
from mlx_spec.events import PrefillProgress
from mlx_spec.lookahead.plan import Option

# Graphs of the passes to come are built while the device reads: so many a chunk, as the first word waits for the last.
_GRAPHS_A_CHUNK: Final = 2


def read_prompt(
    answer: Answer, should_cancel: Callable[[], bool], prefixes: Prefixes | None = None, *, answered: bool = True
) -> Iterator[PrefillProgress]:
    """Read the answer's prompt in chunks, telling how far it is after each. `should_cancel` is asked between them. What
    earlier answers have read of it is found in `prefixes`. Where it is `answered` then, the target goes over blocks if
    that was found to take less time behind such a prompt."""
    started, prompt_ids = time.perf_counter(), answer.request.prompt_ids
    known, answer.last_token = prompt_ids[:-1], prompt_ids[-1]
    answer.penalties.read_prompt(prompt_ids)

    def progress(count: int) -> PrefillProgress:
        answer.prefill_ms = (time.perf_counter() - started) * 1e3 if count > answer.num_cached else 0.0
        return PrefillProgress(count, len(prompt_ids), answer.prefill_ms, answer.num_cached)

    step = chunk_tokens()
    if prefixes is not None:
        _begin(answer, prefixes, step)
    yield progress(answer.num_cached)
    over_blocks = answered and answer.target.pays_over_blocks(len(prompt_ids))
    eager, build = _first_rounds(answer, compiled=not over_blocks)
    for begin in range(answer.num_cached, len(known), step):
        if should_cancel():
            answer.transcript.finish("cancelled")
            return
        chunk = known[begin : begin + step]
        if answer.lease is not None:
            answer.lease.grow(begin + len(chunk))
        answer.target.prefill(chunk, build)
        answer.roster.read(answer.target.features, chunk)
        answer.roster.prefill(chunk, eager=eager)
        answer.num_read = begin + len(chunk)
        answer.num_canonical = answer.num_read // step * step
        _keep_point(answer, len(known), step)
        mx.clear_cache()
        yield progress(answer.num_read)
    answer.position = len(prompt_ids)
    answer.tally.read(len(prompt_ids), answer.num_cached)
    answer.roster.commit([answer.last_token])
    if over_blocks:
        answer.target.go_over_blocks(answer.room)
    yield progress(len(prompt_ids))


def _begin(answer: Answer, prefixes: Prefixes, step: int) -> None:
    """Begin where an earlier answer to a prompt like this one had come, as far as the target and all drafters can.
    Chunks begin at multiples of `step` from the first token, whether what stands before them was read now or earlier:
    so the same passes are made."""
    answer.lease = prefixes.lease()
    prompt_ids = answer.request.prompt_ids
    blocks = prefixes.find(prompt_ids[:-1])
    length, before = len(blocks) * prefixes.block_tokens // step * step, -1
    while length != before:  # one may hold back another
        before, length = length, answer.roster.reach(blocks, length) // step * step
        length = answer.target.reach(beginning_of(blocks, TARGET), length)
    if length:
        answer.target.begin(beginning_of(blocks, TARGET), length)
        answer.roster.begin(blocks[: length // prefixes.block_tokens], prompt_ids[:length])
        answer.num_cached = answer.num_read = answer.num_canonical = length


def _keep_point(answer: Answer, known: int, step: int) -> None:
    """Remember what is held now: every so many tokens, behind the last whole chunk of `known`, and where other prompts
    are expected to part from this one."""
    length = answer.num_read
    parts = any(at // step * step == length for at in answer.parts_at)
    if length % step == 0 and (length % POINT_TOKENS == 0 or known - length < step or parts):
        answer.keep_point()


def _first_rounds(answer: Answer, *, compiled: bool) -> tuple[bool, Callable[[], None]]:
    """Whether the first rounds will draft: a model that is parked from the beginning reads the prompt only when it is
    tried. And what the host can do for their passes, a part at a time, while the device reads; graphs of the target's
    where they are `compiled`."""
    longest, room = answer.config.max_lookahead, answer.room - 1
    everybody = [Option(name, longest) for name in answer.roster.names]
    # What those will propose that only look at the text is not known yet.
    models = [option for option in everybody if answer.roster.is_model(option.drafter)]
    eager = answer.controller.expects_to_draft(everybody, room)
    likely = iter(answer.controller.likely_rows(models or everybody, room))

    def build() -> None:
        answer.roster.meanwhile()
        for rows in islice(likely, _GRAPHS_A_CHUNK if compiled else 0):
            answer.target.prepare(rows, len(answer.request.prompt_ids))

    return eager, build
