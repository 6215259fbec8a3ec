"""When a chain of drafts ends by itself: behind the first token before which the draft was unsure."""

from collections.abc import Callable
from typing import cast

import mlx.core as mx

from mlx_spec.sampling.distribution import log_normaliser

Least = float | Callable[[], float]


class Confidence:
    """Ends a chain behind a token before which the likeliest had less than `least` probability; 0 never does.

    Whether to go on hangs on the row, not on what was drawn from it, so that no acceptance rule is biased. On a GPU the
    chain is drafted whole and cut by one read for all of it; on a CPU, where the host waits for the device anyway, it
    is looked at row by row, and the passes behind the end are spared. `least` may be a question, asked anew for every
    row, where a running answer can be steered.
    """

    def __init__(self, least: Least) -> None:
        self._ask = least if callable(least) else lambda: least

    def ends_here(self, rows: list[mx.array]) -> bool:
        """Whether the newest of the rows `[vocab]` is too unsure to go on; never where reads hold anything up."""
        return bool(rows) and self._ask() > 0 and reads_are_free() and self._sure(rows[-1:]) == 0

    def length(self, rows: list[mx.array]) -> int:
        """How many tokens a chain drawn from these rows keeps."""
        if self._ask() == 0 or reads_are_free() or len(rows) == 1:
            return len(rows)
        return self._sure(rows[:-1]) + 1

    def _sure(self, rows: list[mx.array]) -> int:
        """How many of the rows, from the first on, have a likeliest token of enough probability."""
        stacked = mx.stack(rows)
        top = mx.exp(mx.max(stacked, axis=-1) - log_normaliser(stacked))
        sure = mx.cumprod((top >= self._ask()).astype(mx.int32))
        return cast(int, mx.sum(sure).item())


def reads_are_free() -> bool:
    """Whether the host may look at a row without holding up anything."""
    return bool(mx.default_device().type == mx.DeviceType.cpu)
