"""Rollback of recurrent state (Mamba, gated delta, short convolutions): a token cannot be un-mixed from it."""

from typing import Any, ClassVar

import mlx.core as mx


class Recurrent:
    """`ArraysCache`, and `LayerCache` of DeepSeek V4.1: every pass makes new arrays, so to keep the old ones is enough.

    What should stay of a pass that was taken back has to be fed again.
    """

    marks: ClassVar[bool] = True

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def mark(self, count: int) -> dict[str, Any]:
        """The state before the pass: handles to arrays, nothing is copied."""
        return {name: _handle(value) for name, value in vars(self._cache).items()}

    def take_back(self, mark: dict[str, Any], count: int) -> None:
        """Return to `mark`."""
        vars(self._cache).update(mark)


def _handle(value: Any) -> Any:
    # `cache[i] = state` changes the list, `lengths -= n` the array object itself.
    if isinstance(value, list):
        return list(value)
    return mx.array(value) if isinstance(value, mx.array) else value
