"""The line below: how the engine is, and what speculation brought."""

from functools import partial

from PySide6.QtCore import QT_TRANSLATE_NOOP
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QWidget

from app.engine.process import EngineState
from app.engine.protocol import Standing
from app.look.theme import Palette
from app.look.typography import widened
from app.look.widgets.arrangements import Arrangements
from app.look.widgets.elided_label import ElidedLabel
from app.speculation import TraceViewModel

# The unit, its short form for a narrow window, and what the figure means.
_FIGURES = {
    "rate": (
        QT_TRANSLATE_NOOP("Footer", "tokens/s"),
        QT_TRANSLATE_NOOP("Footer", "tokens/s"),
        QT_TRANSLATE_NOOP("Footer", "Tokens of the answer per second, the reading of the prompt left out"),
    ),
    "length": (
        QT_TRANSLATE_NOOP("Footer", "tokens a round"),
        QT_TRANSLATE_NOOP("Footer", "a round"),
        QT_TRANSLATE_NOOP("Footer", "Tokens that one pass of the target brought, on average"),
    ),
    "acceptance": (
        QT_TRANSLATE_NOOP("Footer", "accepted"),
        QT_TRANSLATE_NOOP("Footer", "accepted"),
        QT_TRANSLATE_NOOP("Footer", "Of the drafted tokens the target looked at, how many it accepted"),
    ),
    "saved": (
        QT_TRANSLATE_NOOP("Footer", "passes saved"),
        QT_TRANSLATE_NOOP("Footer", "saved"),
        QT_TRANSLATE_NOOP("Footer", "Target passes that plain decoding would have needed on top"),
    ),
}
STATE_PX = 72  # kept for the engine's state

PARKED_MEANING = QT_TRANSLATE_NOOP(
    "Footer",
    "Plain decoding is faster here, so in most rounds nothing is guessed; a try now and then tells when that changes",
)
LOSSY_MEANING = QT_TRANSLATE_NOOP(
    "Footer", "This answer's acceptance rule may change the words: they are not the target's own"
)
KNOWN_MEANING = QT_TRANSLATE_NOOP(
    "Footer",
    "The beginning of the prompt, mostly the chat so far, was still in memory: {0:,} tokens were not read again",
)


class Footer(QFrame):
    """The engine's state on the left, what is special about the answer, four figures on the right."""

    def __init__(self, trace: TraceViewModel, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("footer")
        self._trace = trace
        self._palette = palette
        self._state: EngineState = EngineState.STARTING
        self._standing: Standing | None = None
        self._message = self._model = ""
        self._is_short = False
        self._tells_reading = True
        self._lengths: list[int] = []
        self._dot = QLabel("●")
        self._label = ElidedLabel()
        self._label.setProperty("role", "muted")
        self._lossy = QLabel(self.tr("lossy"), objectName="lossyMark", toolTip=self.tr(LOSSY_MEANING))
        self._lossy.setAccessibleName(self.tr("Lossy: {0}").format(self.tr(LOSSY_MEANING)))
        self._parked = QLabel(toolTip=self.tr(PARKED_MEANING))
        self._parked.setProperty("role", "muted")
        self._reading = QLabel()
        self._reading.setProperty("role", "muted")
        self._figures = {key: QLabel("–") for key in _FIGURES}
        self._units = {key: QLabel() for key in _FIGURES}
        layout = QHBoxLayout(self)
        layout.setContentsMargins(16, 7, 16, 7)
        layout.setSpacing(6)
        layout.addWidget(self._dot)
        layout.addWidget(self._label, 1)
        layout.addWidget(self._reading)
        layout.addWidget(self._parked)
        layout.addWidget(self._lossy)
        for key in _FIGURES:
            self._add_figure(layout, key)
        # Whether the units are short, how many figures, and whether it is told how much of the prompt was read.
        shown = [(False, 4, True), (True, 4, True), (True, 4, False), (True, 3, False), (True, 2, False)]
        self._arrangements = Arrangements(layout, [partial(self._arrange, *way) for way in shown])
        trace.reset.connect(self._show)
        trace.updated.connect(self._show)
        self._show()

    def show_engine(self, state: EngineState, message: str, model: str, *, standing: Standing | None) -> None:
        """Show how the engine is, and how the answer under way stands; None where there is none."""
        self._state, self._message, self._model, self._standing = state, message, model, standing
        self._show_state()

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette
        self._show_state()
        self._fit(anew=True)

    def _show_state(self) -> None:
        ready = self._doing()
        text = {
            EngineState.READY: ready if self._is_short else " · ".join(filter(None, (ready, self._model))),
            EngineState.STOPPED: self.tr("Engine stopped"),
        }.get(self._state, self._message)
        self._label.show_text(text)
        self._label.setAccessibleName(self.tr("Engine: {0}").format(text))
        palette = self._palette
        colours = {EngineState.READY: palette.accent, EngineState.STOPPED: palette.danger}
        colour = palette.bonus if self._standing is not None else colours.get(self._state, palette.correction)
        self._dot.setStyleSheet(f"color: {colour}; font-size: 11px;")

    def _doing(self) -> str:
        """What an engine that is ready does for this chat."""
        standing = self._standing
        if standing is None:
            return self.tr("Ready")
        if standing.state == "waiting":
            return self.tr("Waiting, {0} ahead").format(standing.ahead)
        return self.tr("Set aside") if standing.state == "aside" else self.tr("Answering")

    def remarks(self) -> list[str]:
        """What is said about the answer besides its figures."""
        labels = (self._reading, self._parked, self._lossy)
        return [label.text() for label in labels if not label.isHidden()]

    def figures(self) -> dict[str, str]:
        """The four figures as they show."""
        return {key: label.text() for key, label in self._figures.items()}

    def _add_figure(self, layout: QHBoxLayout, key: str) -> None:
        figure, name = self._figures[key], self._units[key]
        unit, _, meaning = _FIGURES[key]
        figure.setProperty("role", "figure")
        name.setProperty("role", "muted")
        for label in (figure, name):
            label.setToolTip(self.tr(meaning))
        figure.setAccessibleName(self.tr(unit))
        layout.addSpacing(12)
        layout.addWidget(figure)
        layout.addWidget(name)

    def _show(self) -> None:
        trace = self._trace
        self._parked.setAccessibleName(self.tr("Parked. {0}").format(self.tr(PARKED_MEANING)))
        remarks = self.remarks()
        self._parked.setVisible(trace.is_parked)
        self._lossy.setVisible(trace.is_lossy)
        self._show_reading()
        self._figures["rate"].setText(_number(trace.tokens_per_second, "{:.1f}"))
        self._figures["length"].setText(_number(trace.tokens_per_round, "{:.2f}"))
        self._figures["acceptance"].setText(_number(trace.acceptance_rate, "{:.0%}"))
        self._figures["saved"].setText(_number(trace.passes_saved, "{:,}"))
        labels = (*self._figures.values(), self._reading)
        lengths = [len(label.text()) for label in labels]
        if lengths != self._lengths or self.remarks() != remarks:
            self._lengths = lengths
            self._fit(anew=True)

    def _show_reading(self) -> None:
        """Tell how much of the prompt was read, where that was not all of it."""
        final = self._trace.final
        told = whole = meaning = ""
        if final is not None and final.cached_tokens:
            numbers = final.read_tokens, final.prompt_tokens
            whole = self.tr("read {0:,} of {1:,} tokens").format(*numbers)
            told = self.tr("read {0:,} of {1:,}").format(*numbers) if self._is_short else whole
            meaning = self.tr(KNOWN_MEANING).format(final.cached_tokens)
        self._reading.setText(told)
        self._reading.setToolTip(meaning)
        self._reading.setAccessibleName(". ".join(filter(None, (whole, meaning))))
        self._reading.setVisible(bool(told) and self._tells_reading)
        # Where there is no room for it, it is still found where the reading is left out.
        for label in (self._figures["rate"], self._units["rate"]):
            label.setToolTip(": ".join(filter(None, (self.tr(_FIGURES["rate"][2]), whole))))

    def _arrange(self, is_short: bool, num_figures: int, tells_reading: bool) -> None:
        self._is_short, self._tells_reading = is_short, tells_reading
        self._show_reading()
        self._parked.setText(self.tr("parked") if is_short else self.tr("parked: plain decoding is faster here"))
        for number, (key, (unit, short, _)) in enumerate(_FIGURES.items()):
            self._units[key].setText(self.tr(short if is_short else unit))
            for label in (self._figures[key], self._units[key]):
                label.setVisible(number < num_figures)

    def _fit(self, *, anew: bool) -> None:
        if anew:
            self._arrangements.forget()
        was_short = self._is_short
        self._arrangements.fit(self.width() - widened(STATE_PX))
        if was_short != self._is_short:
            self._show_state()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a narrow window the figures come first."""
        super().resizeEvent(event)
        self._fit(anew=False)


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)
