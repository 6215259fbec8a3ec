"""What the scheduler knows of one request: counts and times, no token ids. A value; a change makes another."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

Priority = Literal["low", "normal", "high"]
PRIORITIES: Final[tuple[Priority, ...]] = get_args(Priority)
State = Literal["waiting", "reading", "writing", "swapped", "recompute", "done"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One request, from its arrival to the end of its answer.

    Its text is the prompt and what has been written of the answer. A token is *read* when its keys and values are in
    the answer's cache. All of the text but its newest token is read first; then each round reads the newest token and
    the drafts behind it in one pass, and writes what it accepts: while an answer is written, `read_tokens` is one less
    than `known_tokens`.

    The prompt's `turns` have passes of their own.

    `arrival` is its number in the order of arrivals, `due_ms` its deadline on the clock of `arrived_ms`. `blocks` are
    those it holds, `stored_blocks` those it was swapped out to. `overtaken` counts how often a later arrival was let on
    while it waited; `recomputed_tokens` what was read and given up to be read again.
    """

    request_id: str
    arrival: int
    prompt_tokens: int
    max_tokens: int
    turns: tuple[int, ...] = ()
    arrived_ms: float = 0.0
    priority: Priority = "normal"
    due_ms: float | None = None
    state: State = "waiting"
    read_tokens: int = 0
    written_tokens: int = 0
    blocks: int = 0
    stored_blocks: int = 0
    overtaken: int = 0
    preemptions: int = 0
    recomputed_tokens: int = 0

    @property
    def known_tokens(self) -> int:
        """Prompt and written tokens."""
        return self.prompt_tokens + self.written_tokens

    @property
    def to_read(self) -> int:
        """How many tokens are read before a round can write on: all but the newest."""
        return self.prompt_tokens + self.written_tokens - 1

    @property
    def tokens_left(self) -> int:
        """What is still to be read and written, at most."""
        return self.to_read - self.read_tokens + self.max_tokens - self.written_tokens

    @property
    def is_on(self) -> bool:
        """Whether it takes part in steps: it is read or written, and holds blocks."""
        return self.state == "reading" or self.state == "writing"

    @property
    def stepped_aside(self) -> bool:
        """Whether it had begun, and waits to go on."""
        return self.state == "swapped" or self.state == "recompute"

    @property
    def waits(self) -> bool:
        """Whether it waits to be let on, for the first time or again."""
        return self.state == "waiting" or self.stepped_aside
