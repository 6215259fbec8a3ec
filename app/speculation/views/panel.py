"""The panel beside the conversation: the answer's rounds, its speed, and how the engine speculates."""

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app.engine.machine import Machine
from app.look import icons
from app.look.theme import Palette
from app.look.typography import widened
from app.look.widgets.segmented import Segmented
from app.speculation.trace import TraceViewModel
from app.speculation.views.controls import TraceControls
from app.speculation.views.page import Page
from app.speculation.views.rounds import TraceRounds
from app.speculation.views.speed import TraceSpeed

WIDTH_PX = 328
LIVE_MS = 100  # a round that stands for less is read by nobody, and its drawing would cost the text its core


class TracePanel(QFrame):
    """Shows the TraceViewModel; draws nothing while it is hidden.

    Signals:
        race_chosen: the last question is to be raced.
        export_chosen: the rounds or the plot are to be saved.
        steered: a dictionary of the Settings' fields that the user changed.
    """

    race_chosen = Signal()
    export_chosen = Signal()
    steered = Signal(dict)

    def __init__(self, trace: TraceViewModel, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("tracePanel")
        self.setAccessibleName(self.tr("Speculation of the answer"))
        self._trace, self._palette = trace, palette
        self.switch = Segmented((), self.tr("Panel"))
        self.export = QPushButton(toolTip=self.tr("Export the rounds or the plot…"))
        self.export.setAccessibleName(self.tr("Export the rounds or the plot"))
        self.export.setFixedSize(30, 28)
        told = self.tr("How the engine looks ahead shows here, round by round, once it answers.")
        self._hint = QLabel(told, wordWrap=True, alignment=Qt.AlignmentFlag.AlignCenter)
        self._hint.setProperty("role", "muted")
        self.rounds = TraceRounds(trace, palette)
        self.speed = TraceSpeed(trace, palette)
        self.controls = TraceControls(palette)
        self._pages: list[Page] = []
        self._stack = QStackedWidget()
        self._header = QHBoxLayout()
        self.add_page(self.tr("Rounds"), self.rounds)
        self.add_page(self.tr("Speed"), self.speed)
        self.add_page(self.tr("Control"), self.controls)
        self._soon = QTimer(self, singleShot=True, interval=LIVE_MS)
        self._soon.timeout.connect(self._show)
        self._build()
        self.switch.chosen.connect(self._show)
        self.speed.race_chosen.connect(self.race_chosen)
        self.export.clicked.connect(self.export_chosen)
        self.controls.changed.connect(self.steered)
        trace.reset.connect(self._show)
        trace.updated.connect(self._show_soon)
        trace.pointed.connect(self._point)
        self.apply_palette(palette)

    def add_page(self, title: str, page: Page) -> None:
        """Put a page behind those that are there, under a button of its own in the switch."""
        # In a low window the panel scrolls; its parts would else lie over each other.
        inside = QWidget(objectName="page")
        column = QVBoxLayout(inside)
        column.setContentsMargins(20, 8, 16, 18)
        column.addWidget(page)
        scroll = QScrollArea(widgetResizable=True, horizontalScrollBarPolicy=Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setWidget(inside)
        self._pages.append(page)
        self._stack.addWidget(scroll)
        self.switch.add(title)
        self._fit_switch()

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette
        self._fit_switch()
        self.export.setIcon(icons.icon("export", palette.text, palette.muted))
        for page in self._pages:
            page.apply_palette(palette)
        self._show()

    def show_machine(self, machine: Machine) -> None:
        """Take what was measured of this machine."""
        self.speed.show_machine(machine)

    def _build(self) -> None:
        self._header.setContentsMargins(20, 12, 16, 4)
        self._header.addWidget(self.switch)
        self._header.addSpacing(4)
        self._header.addStretch()
        self._header.addWidget(self.export)
        self._hint.setContentsMargins(40, 0, 40, 48)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(self._header)
        layout.addWidget(self._hint, 1)
        layout.addWidget(self._stack, 1)

    def _fit_switch(self) -> None:
        """As wide as ever, or wider where the titles of its pages ask for more."""
        self._header.invalidate()  # what it knows of the switch may be older than the newest button
        border = self.width() - self.contentsRect().width()
        self.setFixedWidth(max(widened(WIDTH_PX), self._header.sizeHint().width() + border))

    def _show(self) -> None:
        if not self.isVisible():
            return
        has_rounds = bool(self._trace.rounds)
        page = self._pages[self.switch.index]
        is_shown = has_rounds or not page.needs_rounds
        self._stack.setCurrentIndex(self.switch.index)
        self._hint.setVisible(not is_shown)
        self._stack.setVisible(is_shown)
        self.export.setEnabled(has_rounds)
        page.refresh()

    def _show_soon(self) -> None:
        if not self._trace.is_live:
            self._show()
        elif not self._soon.isActive():
            self._soon.start()

    def _point(self) -> None:
        if self.isVisible():
            self._pages[self.switch.index].point()

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what happened while hidden."""
        super().showEvent(event)
        self._show()
