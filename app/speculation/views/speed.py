"""The panel's second page: how fast this answer is, against plain decoding and against what the machine could do."""

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication, Qt, Signal
from PySide6.QtWidgets import QFrame, QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app.engine.machine import Machine
from app.look.theme import Palette
from app.speculation.trace import TraceViewModel
from app.speculation.views.charts.speed import Speed, SpeedBars
from app.speculation.views.page import Page

_ROWS = {
    "now": (
        QT_TRANSLATE_NOOP("TraceSpeed", "Tokens/s now"),
        QT_TRANSLATE_NOOP("TraceSpeed", "Over the last second of rounds"),
    ),
    "round": (
        QT_TRANSLATE_NOOP("TraceSpeed", "Tokens a round"),
        QT_TRANSLATE_NOOP("TraceSpeed", "What one pass of the target brought, on average; plain decoding brings one"),
    ),
    "saved": (
        QT_TRANSLATE_NOOP("TraceSpeed", "Passes saved"),
        QT_TRANSLATE_NOOP("TraceSpeed", "Target passes that plain decoding would have needed on top"),
    ),
    "accepted": (
        QT_TRANSLATE_NOOP("TraceSpeed", "Drafts accepted"),
        QT_TRANSLATE_NOOP("TraceSpeed", "Of the drafted tokens the target looked at, how many it accepted"),
    ),
    "words": (
        QT_TRANSLATE_NOOP("TraceSpeed", "Words"),
        QT_TRANSLATE_NOOP(
            "TraceSpeed",
            "Strict: with the coupled rule bit for bit what plain decoding says, whoever else is answered. Fast: "
            "rounding may decide where two words are nearly tied; the figure is how near that came, in logits",
        ),
    ),
    "read": (
        QT_TRANSLATE_NOOP("TraceSpeed", "Prompt tokens read"),
        QT_TRANSLATE_NOOP("TraceSpeed", "The rest, mostly the chat so far, was still in memory and was not read again"),
    ),
}


class TraceSpeed(Page):
    """The verdict, three bars, a few figures, and the way to a race.

    Signals:
        race_chosen: the button for a race was pressed.
    """

    race_chosen = Signal()

    def __init__(self, trace: TraceViewModel, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._trace, self._palette = trace, palette
        self._machine = Machine()
        self.verdict = QLabel()
        self.verdict.setProperty("role", "verdict")
        self.verdict_text = _muted()
        self.bars = SpeedBars(palette)
        self.ceiling_text = _muted()
        self._names = {key: _muted(self.tr(name)) for key, (name, _) in _ROWS.items()}
        self._figures = {key: QLabel("–") for key in _ROWS}
        self.race = QPushButton(self.tr("Race plain against speculative…"))
        self.race.setProperty("role", "outline")
        self.race.setToolTip(
            self.tr("Answers the last question twice with the same seed, and compares words and speed")
        )
        self.race.clicked.connect(self.race_chosen)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        for widget in (self.verdict, self.verdict_text, self.bars, self.ceiling_text):
            layout.addWidget(widget)
        layout.addWidget(QFrame(objectName="separator"))
        layout.addLayout(self._grid())
        layout.addSpacing(8)
        layout.addWidget(self.race)
        layout.addStretch()

    def show_machine(self, machine: Machine) -> None:
        """Take what was measured of this machine."""
        self._machine = machine
        self.refresh()

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette
        self.bars.apply_palette(palette)
        self.refresh()

    def refresh(self) -> None:
        """Show what the trace has now."""
        trace, tally = self._trace, self._trace.tally
        speedup = trace.speedup
        for widget in (self.verdict, self.verdict_text):
            widget.setVisible(speedup is not None)
        if speedup is not None:
            self.verdict.setText(f"{speedup:.2f}×")
            self.verdict.setStyleSheet("" if speedup >= 1 else f"color: {self._palette.text}")
            self.verdict_text.setText(verdict(speedup, is_parked=trace.is_parked))
        self._show_bars()
        now = tally.tokens_per_second_now if trace.is_live else trace.tokens_per_second
        self._set("now", now, "{:.1f}")
        self._set("round", trace.tokens_per_round, "{:.2f}")
        self._set("saved", trace.passes_saved, "{:,}")
        self._set("accepted", trace.acceptance_rate, "{:.0%}")
        self._show_words()
        self._show_reading()

    def figures(self) -> dict[str, str]:
        """The figures as they show."""
        return {key: label.text() for key, label in self._figures.items() if not label.isHidden()}

    def _show_words(self) -> None:
        """Whether rounding could have decided any of them, and how near that came; nothing where it is not told."""
        exactness, tie = self._trace.exactness, self._trace.nearest_tie
        words = self.tr("strict") if exactness == "strict" else self.tr("fast")
        if self._trace.is_lossy:
            words = self.tr("lossy: the rule may change them")
        elif exactness == "fast" and tie is not None:
            words = self.tr("fast, nearest tie {0:.2g}").format(tie)
        self._figures["words"].setText(words)
        for label in (self._names["words"], self._figures["words"]):
            label.setVisible(exactness is not None)

    def _show_reading(self) -> None:
        """How much of the prompt was read, where that was not all of it."""
        final = self._trace.final
        is_known = final is not None and final.cached_tokens > 0
        if final is not None and is_known:
            words = self.tr("{0:,} of {1:,}").format(final.read_tokens, final.prompt_tokens)
            self._figures["read"].setText(words)
        for label in (self._names["read"], self._figures["read"]):
            label.setVisible(is_known)

    def _show_bars(self) -> None:
        ours, plain, limit = self._trace.tokens_per_second, self._trace.plain_tokens_per_second, self._machine.limit
        speeds = []
        if plain is not None:
            speeds.append(Speed(self.tr("Plain decoding, measured"), plain))
        if ours is not None:
            speeds.append(Speed(self.tr("This answer"), ours, is_ours=True))
        if limit is not None:
            speeds.append(Speed(self.tr("Plain decoding's limit here"), limit, is_limit=True))
        self.bars.show_values(speeds)
        self.bars.setVisible(bool(speeds))
        self.ceiling_text.setText(ceiling_words(self._machine, ours))
        self.ceiling_text.setVisible(limit is not None)

    def _set(self, key: str, value: float | None, form: str) -> None:
        words = "–" if value is None else form.format(value)
        if self._figures[key].text() != words:
            self._figures[key].setText(words)

    def _grid(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(6)
        grid.setColumnStretch(0, 1)
        for row, (key, (name, meaning)) in enumerate(_ROWS.items()):
            label, figure = self._names[key], self._figures[key]
            figure.setProperty("role", "figure")
            figure.setAccessibleName(self.tr(name))
            for widget in (label, figure):
                widget.setToolTip(self.tr(meaning))
            grid.addWidget(label, row, 0)
            grid.addWidget(figure, row, 1, Qt.AlignmentFlag.AlignRight)
        return grid


def verdict(speedup: float, *, is_parked: bool) -> str:
    """What the big figure means."""
    if speedup >= 1:
        return QCoreApplication.translate("TraceSpeed", "as fast as plain decoding, measured on this machine.")
    if is_parked:
        return QCoreApplication.translate(
            "TraceSpeed",
            "of plain decoding's measured speed. Most rounds were plain: guessing would not have paid here.",
        )
    return QCoreApplication.translate(
        "TraceSpeed", "of plain decoding's speed: looking ahead does not pay for this answer on this machine."
    )


def ceiling_words(machine: Machine, ours: float | None) -> str:
    """Where the limit comes from, and where the answer stands against it."""
    if machine.limit is None or machine.bandwidth is None or machine.step_bytes is None:
        return ""
    words = QCoreApplication.translate(
        "TraceSpeed",
        "A plain step reads {0:,.0f} MB of weights, and this machine's memory was measured at {1:.1f} GB/s: "
        "no plain decoding can be faster than that.",
    ).format(machine.step_bytes / 1e6, machine.bandwidth / 1e9)
    if ours is None:
        return words
    share = ours / machine.limit
    beyond = (
        QCoreApplication.translate(
            "TraceSpeed", " Looking ahead is past it: one reading of the weights serves several tokens."
        )
        if share > 1
        else ""
    )
    return QCoreApplication.translate("TraceSpeed", "{0} This answer is at {1:.0%} of it.{2}").format(
        words, share, beyond
    )


def _muted(words: str = "") -> QLabel:
    label = QLabel(words, wordWrap=True)
    label.setProperty("role", "muted")
    return label
