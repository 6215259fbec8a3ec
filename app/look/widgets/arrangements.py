"""The ways in which a row can be laid out, the roomiest first; it takes the first one that its width allows."""

from collections.abc import Callable, Sequence

from PySide6.QtWidgets import QLayout


class Arrangements:
    """Measures each way once, so that a window that is being resized only chooses."""

    def __init__(self, layout: QLayout, ways: Sequence[Callable[[], None]]) -> None:
        self._layout, self._ways = layout, ways
        self._needs: list[int] = []
        self.index = 0
        """Which way it is laid out."""

    def forget(self) -> None:
        """Measure again: the letters have another size, or other parts show."""
        self._needs = []

    def fit(self, width: int) -> None:
        """Lay the row out for `width` logical pixels; where nothing fits, in the last way."""
        if not self._needs:
            for way in self._ways:
                way()
                self._layout.invalidate()
                self._needs.append(self._layout.totalMinimumSize().width())
            self.index = len(self._ways) - 1
        wanted = next((index for index, need in enumerate(self._needs) if need <= width), len(self._ways) - 1)
        if wanted != self.index:
            self.index = wanted
            self._ways[wanted]()
