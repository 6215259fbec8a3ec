"""What each answer's part of a step was, counted by what the step told of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mlx_spec.events import Event, PrefillProgress, RoundFinished


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a step: tokens of a prompt that were `read`, a `plain` one for the newest token, and drafted ones."""

    read: int = 0
    plain: int = 0
    accepted: int = 0
    rejected: int = 0


NO_ROWS: Final = Rows()


class Tracker:
    """`rows` are those of the newest step, by answer. A new mapping each step: any thread may look."""

    def __init__(self) -> None:
        self.rows: Mapping[str, Rows] = {}
        self._processed: dict[str, int] = {}

    def follow(self, told: Iterable[tuple[str, Event]]) -> None:
        """Count what a step told."""
        rows: dict[str, Rows] = {}
        processed: dict[str, int] = {}
        for batch_id, event in told:
            before = rows.get(batch_id, NO_ROWS)
            match event:
                case PrefillProgress():
                    # The last token is read by the first round.
                    now = min(event.processed_tokens, event.total_tokens - 1)
                    since = processed.get(batch_id, self._processed.get(batch_id, event.cached_tokens))
                    rows[batch_id] = Rows(before.read + max(0, now - since), before.plain)
                    processed[batch_id] = now
                case RoundFinished():
                    accepted = event.accepted_count
                    rows[batch_id] = Rows(before.read, 1, accepted, len(event.drafted) - accepted)
                case _:
                    pass
        self.rows = rows
        # Who was read no further in this step may be so in the next; who writes is read.
        writing = {batch_id for batch_id, of in rows.items() if of.plain}
        self._processed = {name: at for name, at in {**self._processed, **processed}.items() if name not in writing}
