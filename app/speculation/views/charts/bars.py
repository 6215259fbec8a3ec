"""A few labelled bars that all show what they are told, and say it in words too."""

from abc import abstractmethod
from typing import Generic, TypeVar

from PySide6.QtWidgets import QWidget

from app.look.theme import Palette
from app.look.typography import scaled
from app.speculation.views.charts.base import Chart

Value = TypeVar("Value")


class Bars(Chart, Generic[Value]):
    """A chart of a handful of values. Nothing is painted again where they are what shows."""

    def __init__(self, name: str, height: int, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(name, height, palette, parent)
        self.values: list[Value] = []

    def show_values(self, values: list[Value]) -> None:
        """Show these."""
        if values != self.values:
            self.values = values
            self.base_height = self.height_for(len(values))
            self.setFixedHeight(scaled(self.base_height))
            self.setAccessibleDescription(", ".join(self.words(value) for value in values))
            self.update()

    def height_for(self, num_values: int) -> int:
        """The chart's height, in logical pixels as drawn at the usual font size."""
        return self.base_height

    @abstractmethod
    def words(self, value: Value) -> str:
        """One bar for those who hear it."""
