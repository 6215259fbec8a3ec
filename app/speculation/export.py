"""The rounds of an answer as a file for other programs. Knows no Qt."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from app.engine.protocol import Finished, Round

COLUMNS = (
    "round", "drafter", "lookahead", "next_lookahead", "parked", "drafted", "tested", "accepted", "emitted",
    "draft_ms", "verify_ms", "wire_ms", "host_ms", "round_ms", "plain_step_ms", "reason", "text",
)  # fmt: skip


def rounds_to_json(rounds: Sequence[Round], final: Finished | None) -> str:
    """All that the engine told of each round, as it told it, and its final statistics."""
    body: dict[str, Any] = {"rounds": [_wire(one) for one in rounds]}
    if final is not None:
        body |= {"seed": final.seed, "finish_reason": final.finish_reason, "stats": dict(final.stats)}
    return json.dumps(body, ensure_ascii=False, indent=1) + "\n"


def rounds_to_csv(rounds: Sequence[Round]) -> str:
    """A line a round, with a line of names first; what is unknown is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in rounds:
        writer.writerow(
            [
                one.index, one.drafter or "", one.lookahead, one.next_lookahead, int(one.is_parked), len(one.drafted),
                one.tested_count, one.accepted_count, len(one.emitted), *(f"{ms:.3f}" for ms in _times(one)),
                "" if one.plain_step_ms is None else f"{one.plain_step_ms:.3f}", one.reason,
                "".join(token.text for token in one.emitted),
            ]
        )  # fmt: skip
    return out.getvalue()


def _times(one: Round) -> tuple[float, ...]:
    return one.draft_ms, one.verify_ms, one.wire_ms, one.host_ms, one.round_ms


def _wire(one: Round) -> dict[str, Any]:
    """The event as it came, under the number it has in the answer."""
    sent: dict[str, Any] = json.loads(one.wire) if one.wire else {"type": "round"}
    return sent | {"round": one.index}
