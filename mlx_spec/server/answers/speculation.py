"""The `speculation` object of docs/PROTOCOL.md: what happened in a round, beside the words that it brought."""

import math

from mlx_spec.events import Alternative, DraftedToken, EmittedToken, GenerationFinished, PrefillProgress, RoundFinished
from mlx_spec.server.answers.errors import Json


def speculation_of(event: PrefillProgress | RoundFinished | GenerationFinished) -> Json:
    """The `speculation` object of one event, as a stream carries it."""
    match event:
        case PrefillProgress():
            return {
                "type": "prefill",
                "processed_tokens": event.processed_tokens,
                "total_tokens": event.total_tokens,
                "cached_tokens": event.cached_tokens,
                "elapsed_ms": _number(event.elapsed_ms),
            }
        case RoundFinished():
            return _round(event)
        case GenerationFinished():
            return {
                "type": "finished",
                "finish_reason": event.finish_reason,
                "seed": event.seed,
                "prompt_tokens": event.prompt_tokens,
                "cached_tokens": event.cached_tokens,
                "completion_tokens": len(event.token_ids),
                "prefill_ms": _number(event.prefill_ms),
                "stats": event.stats.to_dict(),
            }


def _round(event: RoundFinished) -> Json:
    special = {
        token.kind: {"id": token.token_id, "text": token.text, "p": _number(token.p)}
        for token in event.emitted
        if token.kind in ("correction", "bonus")
    }
    return {
        "type": "round",
        "round": event.index,
        "drafter": event.drafter,
        "lookahead": event.lookahead,
        "parked": event.parked,
        "reason": event.reason,
        "next_lookahead": event.next_lookahead,
        "drafted": [_drafted(token, branched=event.branched) for token in event.drafted],
        "emitted": [_emitted(token) for token in event.emitted],
        "correction": special.get("correction"),
        "bonus": special.get("bonus"),
        "draft_ms": _number(event.draft_ms),
        "verify_ms": _number(event.verify_ms),
        "wire_ms": _number(event.wire_ms),
        "round_ms": _number(event.round_ms),
        "plain_step_ms": _number(event.plain_step_ms),
    }


def _drafted(token: DraftedToken, *, branched: bool) -> Json:
    place = {"parent": token.parent if token.parent >= 0 else None} if branched else {}
    return place | {
        "id": token.token_id,
        "text": token.text,
        "p": _number(token.p),
        "q": _number(token.q),
        "state": token.state,
    }


def _emitted(token: EmittedToken) -> Json:
    tops = {"target_top": token.target_top, "draft_top": token.draft_top}
    asked: Json = {name: [_alternative(one) for one in top] for name, top in tops.items() if top}
    if token.margin is not None:
        asked["margin"] = token.margin
    return asked | {
        "id": token.token_id,
        "text": token.text,
        "kind": token.kind,
        "p": _number(token.p),
        "q": _number(token.q),
        "position": token.position,
    }


def _alternative(one: Alternative) -> Json:
    return {"id": one.token_id, "text": one.text, "probability": _number(one.probability)}


def _number(value: float | None) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if value is not None and math.isfinite(value) else None
