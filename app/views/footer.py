"""The line below: how the engine is, and what speculation brought."""

from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QWidget

from app.engine_process import EngineState
from app.theme import Palette
from app.viewmodels.trace import TraceViewModel
from app.views.elided_label import ElidedLabel

# The unit, its short form for a narrow window, and what the figure means.
_FIGURES = {
    "rate": ("tokens/s", "tokens/s", "Tokens of the answer per second, the reading of the prompt left out"),
    "length": ("tokens a round", "a round", "Tokens that one pass of the target brought, on average"),
    "acceptance": ("accepted", "accepted", "Of the drafted tokens the target looked at, how many it accepted"),
    "saved": ("passes saved", "saved", "Target passes that plain decoding would have needed on top"),
}

PARKED_MEANING = (
    "Plain decoding is faster here, so in most rounds nothing is guessed; a try now and then tells when that changes"
)
LOSSY_MEANING = "This answer's acceptance rule may change the words: they are not the target's own"


class Footer(QFrame):
    """The engine's state on the left, what is special about the answer, four figures on the right."""

    def __init__(self, trace: TraceViewModel, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("footer")
        self._trace = trace
        self._palette = palette
        self._state: EngineState = EngineState.STARTING
        self._is_answering = self._is_narrow = False
        self._dot = QLabel("●")
        self._label = ElidedLabel()
        self._label.setProperty("role", "muted")
        self._lossy = QLabel(self.tr("lossy"), objectName="lossyMark", toolTip=LOSSY_MEANING)
        self._lossy.setAccessibleName(self.tr("Lossy: {0}").format(LOSSY_MEANING))
        self._parked = QLabel(toolTip=PARKED_MEANING)
        self._parked.setProperty("role", "muted")
        self._figures = {key: QLabel("–") for key in _FIGURES}
        self._units = {key: QLabel(unit) for key, (unit, _, _) in _FIGURES.items()}
        layout = QHBoxLayout(self)
        layout.setContentsMargins(16, 7, 16, 7)
        layout.setSpacing(6)
        layout.addWidget(self._dot)
        layout.addWidget(self._label, 1)
        layout.addWidget(self._parked)
        layout.addWidget(self._lossy)
        for key in _FIGURES:
            self._add_figure(layout, key)
        trace.reset.connect(self._show)
        trace.updated.connect(self._show)
        self._show()

    def show_engine(self, state: EngineState, message: str, model: str, *, is_answering: bool) -> None:
        """Show how the engine is."""
        self._state, self._is_answering = state, is_answering
        ready = "Answering" if is_answering else "Ready"
        text = {
            EngineState.READY: ready if self._is_narrow else " · ".join(filter(None, (ready, model))),
            EngineState.STOPPED: "Engine stopped",
        }.get(state, message or state.value)
        self._label.show_text(text)
        self._label.setAccessibleName(self.tr("Engine: {0}").format(text))
        self.wear(self._palette)

    def set_narrow(self, is_narrow: bool) -> None:
        """In a narrow window the figures come first."""
        self._is_narrow = is_narrow
        for key, (unit, short, _) in _FIGURES.items():
            self._units[key].setText(short if is_narrow else unit)
        self._show()

    def wear(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette
        colours = {EngineState.READY: palette.accent, EngineState.STOPPED: palette.danger}
        colour = palette.bonus if self._is_answering else colours.get(self._state, palette.correction)
        self._dot.setStyleSheet(f"color: {colour}; font-size: 11px;")

    def remarks(self) -> list[str]:
        """What is said about the answer besides its figures."""
        return [label.text() for label in (self._parked, self._lossy) if not label.isHidden()]

    def figures(self) -> dict[str, str]:
        """The four figures as they show."""
        return {key: label.text() for key, label in self._figures.items()}

    def _add_figure(self, layout: QHBoxLayout, key: str) -> None:
        figure, name = self._figures[key], self._units[key]
        unit, _, meaning = _FIGURES[key]
        figure.setProperty("role", "figure")
        name.setProperty("role", "muted")
        for label in (figure, name):
            label.setToolTip(meaning)
        figure.setAccessibleName(unit)
        layout.addSpacing(12)
        layout.addWidget(figure)
        layout.addWidget(name)

    def _show(self) -> None:
        trace = self._trace
        self._parked.setText(self.tr("parked") if self._is_narrow else self.tr("parked: plain decoding is faster here"))
        self._parked.setAccessibleName(self.tr("Parked. {0}").format(PARKED_MEANING))
        self._parked.setVisible(trace.is_parked)
        self._lossy.setVisible(trace.is_lossy)
        self._figures["rate"].setText(_number(trace.tokens_per_second, "{:.1f}"))
        self._figures["length"].setText(_number(trace.tokens_per_round, "{:.2f}"))
        self._figures["acceptance"].setText(_number(trace.acceptance_rate, "{:.0%}"))
        self._figures["saved"].setText(_number(trace.passes_saved, "{:,}"))


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)
