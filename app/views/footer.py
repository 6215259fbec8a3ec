"""The line below: how the engine is, and what speculation brought."""

from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QWidget

from app.engine_process import EngineState
from app.theme import Palette
from app.viewmodels.trace import TraceViewModel

_FIGURES = {
    "rate": ("tokens/s", "Tokens of the answer per second, the reading of the prompt left out"),
    "length": ("tokens a round", "Tokens that one pass of the target brought, on average"),
    "acceptance": ("accepted", "Of the drafted tokens the target looked at, how many it accepted"),
    "saved": ("passes saved", "Target passes that plain decoding would have needed on top"),
}


class Footer(QFrame):
    """The engine's state on the left, four figures on the right."""

    def __init__(self, trace: TraceViewModel, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("footer")
        self._trace = trace
        self._palette = palette
        self._state: EngineState = EngineState.STARTING
        self._is_answering = self._is_narrow = False
        self._dot = QLabel("●")
        self._label = QLabel()
        self._label.setProperty("role", "muted")
        self._label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._figures = {key: QLabel("–") for key in _FIGURES}
        layout = QHBoxLayout(self)
        layout.setContentsMargins(16, 7, 16, 7)
        layout.setSpacing(6)
        layout.addWidget(self._dot)
        layout.addWidget(self._label, 1)
        for key, (unit, meaning) in _FIGURES.items():
            self._add_figure(layout, self._figures[key], unit, meaning)
        trace.reset.connect(self._show)
        trace.round_added.connect(self._show)
        trace.finished.connect(self._show)
        self._show()

    def show_engine(self, state: EngineState, message: str, model: str, *, is_answering: bool) -> None:
        """Show how the engine is."""
        self._state, self._is_answering = state, is_answering
        ready = "Answering" if is_answering else "Ready"
        text = {
            EngineState.READY: ready if self._is_narrow else " · ".join(filter(None, (ready, model))),
            EngineState.STOPPED: "Engine stopped",
        }.get(state, message or state.value)
        self._label.setText(text)
        self._label.setAccessibleName(f"Engine: {text}")
        self._label.setToolTip(text)
        self.wear(self._palette)

    def set_narrow(self, is_narrow: bool) -> None:
        """In a narrow window the figures come first."""
        self._is_narrow = is_narrow

    def wear(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette
        colours = {EngineState.READY: palette.accent, EngineState.STOPPED: palette.danger}
        colour = palette.bonus if self._is_answering else colours.get(self._state, palette.correction)
        self._dot.setStyleSheet(f"color: {colour}; font-size: 11px;")

    def figures(self) -> dict[str, str]:
        """The four figures as they show."""
        return {key: label.text() for key, label in self._figures.items()}

    def _add_figure(self, layout: QHBoxLayout, figure: QLabel, unit: str, meaning: str) -> None:
        figure.setProperty("role", "figure")
        name = QLabel(unit)
        name.setProperty("role", "muted")
        for label in (figure, name):
            label.setToolTip(meaning)
        figure.setAccessibleName(unit)
        layout.addSpacing(12)
        layout.addWidget(figure)
        layout.addWidget(name)

    def _show(self) -> None:
        trace = self._trace
        self._figures["rate"].setText(_number(trace.tokens_per_second, "{:.1f}"))
        self._figures["length"].setText(_number(trace.tokens_per_round, "{:.2f}"))
        self._figures["acceptance"].setText(_number(trace.acceptance_rate, "{:.0%}"))
        self._figures["saved"].setText(_number(trace.passes_saved, "{:,}"))


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)
