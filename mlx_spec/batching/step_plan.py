"""What one step does, as `plan_step` has decided it: values for whoever carries it out.

To be done in this order: tell who is refused, take the blocks of who steps aside (copy them away first where they are
swapped), give each entry its `blocks` (first those who give some back), bring back what was swapped, read, write.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mlx_spec.batching.admission import Refusal
from mlx_spec.batching.budget import chunk_end
from mlx_spec.batching.entry import Entry
from mlx_spec.batching.preemption import Preempted
from mlx_spec.prompt_passes import PromptPasses


@dataclass(frozen=True, slots=True)
class Reading:
    """A text is read from `start` to `stop`, of `end` tokens; from `prompt_end` on they are the answer's own words.
    The prompt's `turns` have passes of their own.

    Where more of it was found meanwhile (another prompt of this very step began alike) the reading may begin later, at
    a whole chunk.
    """

    request_id: str
    start: int
    stop: int
    prompt_end: int
    end: int
    turns: tuple[int, ...] = ()

    @property
    def rows(self) -> int:
        """Tokens that are read."""
        return self.stop - self.start

    def passes(self, passes: PromptPasses) -> Iterator[tuple[int, int]]:
        """The forward passes, each from a token up to another. Own words are no part of a pass over the prompt."""
        start = self.start
        while start < self.stop:
            stop = chunk_end(start, self.prompt_end, self.stop, passes, self.turns)
            yield start, stop
            start = stop


@dataclass(frozen=True, slots=True)
class Writing:
    """A round of an answer: a row for its newest token, and blocks for `room` drafted tokens at most behind it."""

    request_id: str
    room: int


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step. `entries` are all who remain, in the order of arrival, as they stand once blocks have changed hands.

    `draft_rows` are what all drafts together may add to the rows of this step, `free_blocks` what is left of the pool.
    """

    entries: tuple[Entry, ...]
    refused: tuple[Refusal, ...]
    preempted: tuple[Preempted, ...]
    resumed: tuple[str, ...]
    admitted: tuple[str, ...]
    readings: tuple[Reading, ...]
    writings: tuple[Writing, ...]
    draft_rows: int
    free_blocks: int
    utilisation: float

    @property
    def rows_read(self) -> int:
        """Tokens of prompts that the step reads."""
        return sum(reading.rows for reading in self.readings)

    @property
    def idle(self) -> bool:
        """Whether nothing is computed."""
        return not self.readings and not self.writings
