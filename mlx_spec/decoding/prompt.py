"""Reading a prompt: all of it but its last token, which the first round scores together with its drafts. The last pass
over a long one reads that too, and says what the first round only has to look at.

Generators, a forward pass a step, so that whoever has many answers can read one a little further between the rounds of
the others. They ask for their passes: those of several prompts can be made as one.
"""

import time
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeAlias

import mlx.core as mx

from mlx_spec.decoding.answer import Answer, FirstRow
from mlx_spec.decoding.cache.blocks.chain import TARGET, Block, beginning_of, ends_of
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.cache.chunks import POINT_TOKENS, chunk_tokens, prompt_passes, reads_last
from mlx_spec.decoding.drafters.levels import Ask, Levels
from mlx_spec.decoding.logprobs.naming import scored_prompt
from mlx_spec.decoding.logprobs.rows import RowLogprobs, row_logprobs
from mlx_spec.decoding.target import Chunk, read_all
from mlx_spec.events import PrefillProgress, PromptScored
from mlx_spec.lookahead.plan import Option
from mlx_spec.lookahead.together import Wish, expects_to_draft

# Graphs of the passes to come are built while the device reads: so many a chunk, as the first word waits for the last.
_GRAPHS_A_CHUNK: Final = 2

Reading: TypeAlias = Generator[Ask | PrefillProgress | PromptScored | int, Any, None]
"""Yields what is to be computed, is sent it, and tells between two passes how far it is."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The first `length` tokens of a prompt, as earlier answers have read them: it can begin behind these, whatever
    becomes of the `blocks` elsewhere."""

    blocks: Sequence[Block] = ()
    length: int = 0


def found_in(prefixes: Prefixes, answer: Answer) -> Found:
    """Where an earlier answer to a prompt like this one had come, as far as the target and all drafters can begin with
    it. Passes begin at fixed places, whether what stands before them was read now or earlier: so the same ones are
    made."""
    if answer.request.prompt_logprobs:
        return Found()  # of what an earlier answer has read nobody knows them
    passes = prompt_passes()
    blocks = prefixes.find(answer.request.prompt_ids[:-1], answer.request.owner, answer.turns)
    # A pass begins behind the whole of a block.
    ends = [end for end in ends_of(blocks) if passes.last_begin(end, answer.turns) == end]
    length, before = max(ends, default=0), -1
    while length != before:  # one may hold back another
        before, reach = length, answer.roster.reach(blocks, length)
        length = max((end for end in ends if end <= reach), default=0)
        length = answer.target.reach(beginning_of(blocks, TARGET), length)
    return Found(blocks[: bisect_right(ends_of(blocks), length)], length)


def read_prompt(
    answer: Answer,
    should_cancel: Callable[[], bool],
    prefixes: Prefixes | None = None,
    found: Found | None = None,
    *,
    answered: bool = True,
) -> Iterator[PrefillProgress | PromptScored]:
    """As `reading`, for an answer that is read alone."""
    told, made = reading(answer, should_cancel, prefixes, found, answered=answered), None
    while True:
        try:
            came = told.send(made)
        except StopIteration:
            return
        made = None
        if isinstance(came, Ask):
            (made,) = came.make([came.given])
        elif not isinstance(came, int):
            yield came


def reading(
    answer: Answer,
    should_cancel: Callable[[], bool],
    prefixes: Prefixes | None = None,
    found: Found | None = None,
    *,
    answered: bool = True,
) -> Reading:
    """Read the answer's prompt in chunks, telling how far it is after each. `should_cancel` is asked between them. What
    earlier answers have read of it is found in `prefixes`, or was `found` already. Where it is `answered` then, the
    target goes over blocks if that was found to take less time behind such a prompt. At the end its tokens'
    log-probabilities are told, where that was asked; an answer of no tokens is over then."""
    started, prompt_ids = time.perf_counter(), answer.request.prompt_ids
    known, answer.last_token, passes = prompt_ids[:-1], prompt_ids[-1], prompt_passes()
    answer.penalties.read_prompt(prompt_ids)

    def progress(count: int) -> PrefillProgress:
        answer.prefill_ms = (time.perf_counter() - started) * 1e3 if count > answer.num_cached else 0.0
        return PrefillProgress(count, len(prompt_ids), answer.prefill_ms, answer.num_cached)

    if prefixes is not None:
        answer.lease = answer.lease or prefixes.lease()
        found = found or found_in(prefixes, answer)
    if found is not None:
        _begin(answer, found)
    answer.num_cached = answer.num_read
    yield progress(answer.num_cached)
    over_blocks = answered and answer.room > 0 and answer.target.pays_over_blocks(len(prompt_ids))
    eager, build = _first_rounds(answer, compiled=not over_blocks) if answer.room else (False, _nothing)
    # The first words wait for no drafter to read the little that is new.
    eager = eager and not 0 < answer.num_cached >= len(known) - chunk_tokens()
    rows: list[RowLogprobs] = []
    while answer.num_read < len(known):
        if should_cancel():
            answer.transcript.finish("cancelled")
            return
        chunk = known[answer.num_read : passes.end(answer.num_read, len(known), answer.turns)]
        last = answer.room > 0 and reads_last(answer.num_read, len(prompt_ids), answer.turns)
        rows += yield from _read_chunk(answer, chunk, build, eager=eager, last=last)
        yield progress(answer.num_read)
    answer.position = len(prompt_ids)
    answer.tally.read(len(prompt_ids), answer.num_cached)
    answer.roster.commit([answer.last_token])
    if over_blocks:
        answer.target.go_over_blocks(answer.room)
    yield progress(len(prompt_ids))
    if answer.request.prompt_logprobs and answer.token_names is not None:
        yield scored_prompt(answer.token_names, prompt_ids, rows)
    if not answer.room:
        answer.transcript.finish("length")


def reading_again(answer: Answer, found: Found | None = None) -> Reading:
    """Read the text of an answer that has given up what it had read, telling how much is read after each pass: its
    prompt as ever, then its own words in passes of their own. Then its next round may be launched.

    Where rows hold at any width, and in strict passes, what is read has the bits that it had. Elsewhere the
    words are read one by one, as plain rounds read them: those bits differ from what drafts were verified with by the
    rounding of a wider pass, which tells only where two tokens were nearly tied.
    """
    known, passes = answer.text_ids[:-1], prompt_passes()
    prompt_end = len(answer.request.prompt_ids) - 1
    if found is not None:
        _begin(answer, found)
    yield answer.num_read
    over_blocks = answer.target.pays_over_blocks(prompt_end + 1)
    eager, build = _first_rounds(answer, compiled=not over_blocks)
    while answer.num_read < prompt_end:
        chunk = known[answer.num_read : passes.end(answer.num_read, prompt_end, answer.turns)]
        last = reads_last(answer.num_read, prompt_end + 1, answer.turns)
        yield from _read_chunk(answer, chunk, build, eager=eager, last=last)
        if last and len(known) > prompt_end:  # and there are words behind it already
            _take_first(answer, eager=eager)
        yield answer.num_read
    if over_blocks:
        answer.target.go_over_blocks(answer.room + len(known) - prompt_end)
    exact = answer.request.widest or (answer.config.max_lookahead + 1 if answer.request.rows_hold else 1)
    width = min(answer.config.max_lookahead + 1, exact)
    while answer.num_read < len(known):
        # The first pass of all is never compiled, and in half precision that has other bits.
        words = known[answer.num_read : answer.num_read + (width if answer.num_read else 1)]
        answer.target.read(words)
        answer.roster.read(answer.target.features, words)
        answer.roster.prefill(words, eager=eager)
        answer.num_read += len(words)
        yield answer.num_read
    answer.roster.commit([answer.last_token])


def _nothing() -> None:
    """There are no rounds to prepare for."""


def _read_chunk(
    answer: Answer, chunk: Sequence[int], build: Callable[[], None], *, eager: bool, last: bool
) -> Levels[list[RowLogprobs]]:
    """Read a chunk of the prompt, or a part of one, which begins where the last one ended; in the same pass also its
    `last` token, for the first round to find what follows that. The log-probabilities of the tokens behind each of
    the chunk, where they were asked for."""
    request, count = answer.request, len(chunk)
    if answer.lease is not None:
        answer.lease.grow(answer.num_read + count)
    scored = request.prompt_logprobs and not answer.position
    token_ids = [*chunk, request.prompt_ids[-1]] if last else chunk
    logits = yield Ask(read_all, Chunk(answer.target, token_ids, build, scored, last))
    following = request.prompt_ids[answer.num_read + 1 : answer.num_read + 1 + count]
    rows = row_logprobs(logits[:count], following, request.logprobs or 0) if scored and logits is not None else []
    features = answer.target.features
    if last and logits is not None:
        answer.first = FirstRow(logits[-1:], None if features is None else mx.contiguous(features[count:]))
    answer.roster.read(None if features is None else features[:count], chunk)
    answer.roster.mark()
    answer.roster.prefill(chunk, eager=eager)
    answer.num_read += len(chunk)
    answer.num_canonical = prompt_passes().last_begin(answer.num_read, answer.turns)
    _keep_point(answer, len(answer.request.prompt_ids) - 1)
    mx.clear_cache()
    return rows


def _take_first(answer: Answer, *, eager: bool) -> None:
    """Have the prompt's last token be read by all, as the first round would."""
    first, answer.first = answer.first, None
    last_token = answer.request.prompt_ids[-1]
    if first is not None:
        answer.roster.read(first.features, [last_token])
        answer.roster.prefill([last_token], eager=eager)
        answer.num_read += 1


def _begin(answer: Answer, found: Found) -> None:
    """Begin with what was found of the prompt."""
    if found.length:
        reads_on = found.length < len(answer.request.prompt_ids) - 1
        answer.target.begin(beginning_of(found.blocks, TARGET), found.length, reads_on=reads_on)
        answer.roster.begin(found.blocks, answer.request.prompt_ids[: found.length])
        answer.num_read = answer.num_canonical = found.length


def _keep_point(answer: Answer, known: int) -> None:
    """Remember what is held now: every so many tokens, where the last pass over `known` tokens begins, behind what
    every chat begins with, and where other prompts are expected to part from this one: there, and behind the whole
    chunk before, as a text that goes on has blocks that end behind whole ones alone."""
    length, passes, parts = answer.num_read, prompt_passes(), answer.request.parts_at
    begins = {passes.last_begin(at, answer.turns) for at in (known, *parts)}
    begins |= {at // passes.chunk * passes.chunk for at in parts}
    if length == answer.request.opening or length in begins or length % POINT_TOKENS == 0:
        answer.keep_point()


def _first_rounds(answer: Answer, *, compiled: bool) -> tuple[bool, Callable[[], None]]:
    """Whether the first rounds will draft, in their company: a model that is parked from the beginning reads the prompt
    only when it is tried. And what the host can do for their passes, a part at a time, while the device reads; graphs
    of the target's where they are `compiled`."""
    longest, room = answer.config.max_lookahead, answer.most_in_a_pass
    everybody = [Option(name, longest) for name in answer.roster.names]
    # What those will propose that only look at the text is not known yet.
    models = [option for option in everybody if answer.roster.is_model(option.drafter)]
    eager = room > 0 and expects_to_draft(Wish(answer.controller, everybody, room), answer.company)
    likely = iter(answer.controller.likely_rows(models or everybody, room))

    def build() -> None:
        answer.roster.meanwhile()
        for rows in islice(likely, _GRAPHS_A_CHUNK if compiled else 0):
            answer.target.prepare(rows, len(answer.request.prompt_ids))

    return eager, build
