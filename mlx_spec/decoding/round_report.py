"""What is told of a round: its tokens as events have them, and its counters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlx_spec.decoding.alternatives import Tops
from mlx_spec.decoding.logprobs.naming import told
from mlx_spec.decoding.outcome import Outcome
from mlx_spec.events import (
    Alternative,
    DraftedToken,
    DraftState,
    EmittedToken,
    SpeculativeStats,
    TokenKind,
    TokenLogprob,
)
from mlx_spec.models.text.token_names import TokenNames
from mlx_spec.models.text.transcript import Transcript


@dataclass(frozen=True, slots=True)
class RoundTimes:
    """Wall-clock milliseconds of one round. `draft_ms` is what drafting added to it: what ran while the host did
    something else is not in there. `wire_ms`, a part of `verify_ms`, is reckoned from what was measured of the wire."""

    draft_ms: float
    verify_ms: float
    total_ms: float
    wire_ms: float = 0.0


def emit(
    transcript: Transcript, outcome: Outcome, position: int, names: TokenNames | None = None
) -> list[EmittedToken]:
    """Add the round's tokens to the answer, as far as it goes on; the first of them has absolute `position`. With their
    log-probabilities where the outcome has these, by their `names`."""
    emitted = []
    for i, token_id in enumerate(outcome.token_ids):
        text = transcript.push(token_id)
        if text is None:
            break
        accepted = i < outcome.accepted
        node = outcome.path[i - 1] if i else 0  # that this token follows
        children = outcome.tree.children[node]
        kind: TokenKind = "accepted" if accepted else "plain"
        if outcome.draft_ids and not accepted:
            kind = "correction" if children else "bonus"
        draft = outcome.path[i] - 1 if accepted else children[0] - 1 if children else len(outcome.draft_ids)
        p = outcome.drafted_p[draft] if accepted else outcome.next_p
        q = outcome.drafted_q[draft] if accepted else None
        tops = _alternatives(transcript, outcome.target_top, node), _alternatives(transcript, outcome.draft_top, draft)
        logprob = told(names, outcome.logprobs[i]) if names and outcome.logprobs else None
        emitted.append(EmittedToken(token_id, text, kind, p, q, position + i, *tops, logprob, _margin(outcome, i)))
    return emitted


def ending(
    transcript: Transcript, outcome: Outcome, emitted: int, names: TokenNames | None = None
) -> TokenLogprob | None:
    """The end-of-sequence token behind the `emitted` ones, where log-probabilities are told."""
    if names is None or not transcript.is_ended_by_token or emitted >= len(outcome.logprobs):
        return None
    return told(names, outcome.logprobs[emitted])


def end_margin(transcript: Transcript, outcome: Outcome, emitted: int) -> float | None:
    """By how much the end-of-sequence token behind the `emitted` ones beat the next best, where margins are told."""
    return _margin(outcome, emitted) if transcript.is_ended_by_token else None


def nearest_tie(emitted: Sequence[EmittedToken], end: float | None) -> float | None:
    """The least margin of some tokens and of the `end` behind them; None where none is told."""
    return min((margin for margin in (*(token.margin for token in emitted), end) if margin is not None), default=None)


def _margin(outcome: Outcome, place: int) -> float | None:
    """None where none is told, or nothing else could have been said."""
    margin = outcome.margins[place] if place < len(outcome.margins) else math.inf
    return margin if math.isfinite(margin) else None


def drafted(transcript: Transcript, outcome: Outcome) -> tuple[DraftedToken, ...]:
    """The proposed tokens and what became of them."""
    tokens = []
    for i, token_id in enumerate(outcome.draft_ids):
        tested = outcome.was_tested(i)
        state: DraftState = "accepted" if i + 1 in outcome.path else "rejected" if tested else "untested"
        p, q, parent = outcome.drafted_p[i] if tested else None, outcome.drafted_q[i], outcome.tree.parents[i] - 1
        tokens.append(DraftedToken(token_id, transcript.peek(token_id), p, q, state, parent))
    return tuple(tokens)


def _alternatives(transcript: Transcript, tops: Tops, place: int) -> tuple[Alternative, ...]:
    """What one model found likeliest in the round's `place`; nothing where it was not asked."""
    row = tops[place] if place < len(tops) else ()
    return tuple(Alternative(token_id, transcript.peek(token_id), p) for token_id, p in row)


def counters(outcome: Outcome, emitted: int, passes: int, times: RoundTimes, *, lossless: bool) -> SpeculativeStats:
    """The counters of one round that emitted `emitted` tokens after `passes` forward passes of the draft."""
    return SpeculativeStats(
        draft_tokens=len(outcome.draft_ids),
        tested_tokens=outcome.tested,
        accepted_tokens=outcome.accepted,
        rounds=1,
        target_forward_passes=1,
        draft_forward_passes=passes,
        total_tokens_generated=emitted,
        draft_time_ms=times.draft_ms,
        target_time_ms=times.verify_ms,
        total_time_ms=times.total_ms,
        wire_time_ms=times.wire_ms,
        lossless=lossless,
    )
