"""Many answers at once: who goes on in a step, which prompt is read a little further, who waits, who steps aside.

Counts, times and orders: nothing here knows a model, a token id or MLX. `entry` is what is known of a request, `step`
plans one step as a pure function of the entries, the free blocks and the `settings`; `policies` order who waits,
`budget` shares a step's tokens, `admission` says what an answer needs and who is refused, `preemption` who steps aside.
`scheduler` keeps the entries between the steps, `invariants` says what must hold of them. `metrics` keeps what became
of it all, which `report` puts into words. How far to draft for all answers together is chosen in `lookahead`.

`batch` alone knows the decoder: its `Batch` does what was planned, with the answers that `seat` keeps, and is imported
when it is first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

from mlx_spec.batching.entry import Entry
from mlx_spec.batching.metrics import Metrics
from mlx_spec.batching.report import format_report
from mlx_spec.batching.scheduler import Scheduler
from mlx_spec.batching.settings import BatchSettings
from mlx_spec.batching.step import plan_step
from mlx_spec.batching.step_plan import StepPlan

if TYPE_CHECKING:
    from mlx_spec.batching.batch import Batch

__all__ = [
    "Batch",
    "BatchSettings",
    "Entry",
    "Metrics",
    "Scheduler",
    "StepPlan",
    "format_report",
    "plan_step",
]


def __getattr__(name: str) -> Any:
    """Import what knows models when it is first used."""
    if name != "Batch":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module("mlx_spec.batching.batch").Batch
