"""How a request stands, for whoever asks: what the scheduler knows of it, and its part of the newest step."""

from dataclasses import dataclass

from mlx_spec.batching.entry import Entry
from mlx_spec.server.engine.job import Job
from mlx_spec.server.engine.rows import Rows


@dataclass(frozen=True, slots=True)
class Standing:
    """`entry` is None while the engine has not looked at its prompt, or has just done with it. So many requests are
    `ahead` of one that waits in the batch."""

    job: Job
    entry: Entry | None
    rows: Rows
    ahead: int
