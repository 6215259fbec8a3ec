"""The panel's third page: how the engine speculates, changed at the next round, each control explained in a line."""

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QT_TRANSLATE_NOOP, Qt, Signal
from PySide6.QtWidgets import QDoubleSpinBox, QLabel, QVBoxLayout, QWidget

from app.engine.drafters import EVERYWHERE, drafter_line, drafter_name, in_order
from app.engine.request import Drafter, Settings
from app.look.theme import Palette
from app.look.typography import scaled
from app.look.widgets.choice_box import ChoiceBox
from app.speculation.views.page import Page

MAX_LOOKAHEAD = 32
DEFAULT_THRESHOLD = 0.5
DEFAULT_RATIO = 0.1
SHARE_PX = 72
SHAPES = (
    (
        QT_TRANSLATE_NOOP("TraceControls", "Chain"),
        "off",
        QT_TRANSLATE_NOOP(
            "TraceControls", "One guess for each place, each behind the one before. Never changes the words"
        ),
    ),
    (
        QT_TRANSLATE_NOOP("TraceControls", "Tree, 2 deep, 2 wide"),
        "2x2",
        QT_TRANSLATE_NOOP("TraceControls", "Two guesses for each place where that pays. Never changes the words"),
    ),
    (
        QT_TRANSLATE_NOOP("TraceControls", "Tree, 3 deep, 2 wide"),
        "3x2",
        QT_TRANSLATE_NOOP("TraceControls", "Two guesses for each place where that pays. Never changes the words"),
    ),
    (
        QT_TRANSLATE_NOOP("TraceControls", "Tree, 4 deep, 3 wide"),
        "4x3",
        QT_TRANSLATE_NOOP("TraceControls", "Three guesses for each place where that pays. Never changes the words"),
    ),
)
RULES = (
    (
        QT_TRANSLATE_NOOP("TraceControls", "Coupled"),
        "coupled",
        QT_TRANSLATE_NOOP("TraceControls", "Lossless: plain decoding's own words, for every seed"),
    ),
    (
        QT_TRANSLATE_NOOP("TraceControls", "Token"),
        "token",
        QT_TRANSLATE_NOOP("TraceControls", "Lossless in distribution: the same chances, other words for a seed"),
    ),
    (
        QT_TRANSLATE_NOOP("TraceControls", "Block"),
        "block",
        QT_TRANSLATE_NOOP("TraceControls", "Lossless in distribution, and accepts a little more than Token"),
    ),
    (
        QT_TRANSLATE_NOOP("TraceControls", "Typical"),
        "typical",
        QT_TRANSLATE_NOOP("TraceControls", "Lossy: accepts likely guesses, and may change the words"),
    ),
)
THRESHOLD_WORDS = QT_TRANSLATE_NOOP(
    "TraceControls", "A draft ends where its best guess is less sure than this. Never changes the words"
)
RATIO_WORDS = QT_TRANSLATE_NOOP(
    "TraceControls",
    "Guessing stops where the target finds the guesses less probable than this, p against q. Never changes words",
)


class TraceControls(Page):
    """Drafter, lookahead, shape, acceptance rule, and two thresholds.

    Signals:
        changed: a dictionary of the Settings' fields that the user changed.
    """

    changed = Signal(dict)
    needs_rounds = False

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._palette = palette
        self._drafters: list[Drafter] = list(EVERYWHERE)
        self.drafter = _choice([drafter_name(one) for one in self._drafters], palette)
        self.lookahead = _choice([self.tr("Auto"), *(str(length) for length in range(1, MAX_LOOKAHEAD + 1))], palette)
        self.lookahead.setMaxVisibleItems(12)
        self.shape = _choice([self.tr(name) for name, _, _ in SHAPES], palette)
        self.rule = _choice([self.tr(name) for name, _, _ in RULES], palette)
        self.threshold = _share()
        self.ratio = _share()
        self._drafter_words, self._shape_words, self._rule_words = _muted(), _muted(), _muted()
        self._told = _muted(self.tr("A change takes effect at the next round."))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        length_words = _muted(
            self.tr("How many tokens are guessed a round; Auto measures what pays. Never changes the words")
        )
        parts: tuple[tuple[str, QWidget, QLabel], ...] = (
            (self.tr("Drafter"), self.drafter, self._drafter_words),
            (self.tr("Lookahead"), self.lookahead, length_words),
            (self.tr("Shape"), self.shape, self._shape_words),
            (self.tr("Acceptance"), self.rule, self._rule_words),
            (self.tr("Stop drafting below"), self.threshold, _muted(self.tr(THRESHOLD_WORDS))),
            (self.tr("Park below"), self.ratio, _muted(self.tr(RATIO_WORDS))),
        )
        layout.addWidget(self._told)  # first, where it is seen without scrolling
        layout.addSpacing(8)
        for name, field, words in parts:
            label = QLabel(name)
            label.setProperty("role", "section")
            label.setBuddy(field)
            field.setAccessibleName(name)
            field.setAccessibleDescription(words.text())
            for widget in (label, field, words):
                layout.addWidget(widget)
            layout.addSpacing(12)
        layout.addStretch()
        self._connect()
        self.show_settings(Settings())

    def show_settings(self, settings: Settings) -> None:
        """Show how the answers are made now; tells nobody."""
        for widget in self._fields:
            widget.blockSignals(True)
        if settings.drafter not in self._drafters:  # what is set shows, whatever the engine can do
            self._list_drafters({*self._drafters, settings.drafter})
        self.drafter.setCurrentIndex(self._drafters.index(settings.drafter))
        self.lookahead.setCurrentText(self.tr("Auto") if settings.lookahead == "auto" else str(settings.lookahead))
        self.shape.setCurrentIndex(_place(SHAPES, settings.tree or "off"))
        self.rule.setCurrentIndex(_place(RULES, settings.acceptance))
        self.threshold.setValue(_or(settings.acceptance_threshold, DEFAULT_THRESHOLD))
        self.ratio.setValue(_or(settings.min_acceptance_ratio, DEFAULT_RATIO))
        for widget in self._fields:
            widget.blockSignals(False)
        self._explain()

    def show_drafters(self, names: Sequence[str]) -> None:
        """Offer what the engine can draft by; tells nobody. Without names it did not say."""
        chosen = self._drafters[self.drafter.currentIndex()]
        self.drafter.blockSignals(True)
        self._list_drafters({"auto", "none", chosen, *names} if names else {*EVERYWHERE, chosen})
        self.drafter.setCurrentIndex(self._drafters.index(chosen))
        self.drafter.blockSignals(False)
        self._explain()

    def tell(self, words: str) -> None:
        """Say what became of the last change."""
        self._told.setText(words)

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette
        for box in (self.drafter, self.lookahead, self.shape, self.rule):
            box.apply_palette(palette)
        for share in (self.threshold, self.ratio):
            share.setFixedWidth(scaled(SHARE_PX))
        self._explain()

    @property
    def _fields(self) -> tuple[QWidget, ...]:
        return self.drafter, self.lookahead, self.shape, self.rule, self.threshold, self.ratio

    def _list_drafters(self, names: set[str]) -> None:
        self._drafters = in_order(names)
        self.drafter.clear()
        self.drafter.addItems([drafter_name(one) for one in self._drafters])

    def _connect(self) -> None:
        self.drafter.currentIndexChanged.connect(lambda index: self._tell_change(drafter=self._drafters[index]))
        self.lookahead.currentIndexChanged.connect(lambda index: self._tell_change(lookahead=index or "auto"))
        self.shape.currentIndexChanged.connect(lambda index: self._tell_change(tree=SHAPES[index][1]))
        self.rule.currentIndexChanged.connect(lambda index: self._tell_change(acceptance=RULES[index][1]))
        self.threshold.valueChanged.connect(lambda value: self._tell_change(acceptance_threshold=round(value, 2)))
        self.ratio.valueChanged.connect(lambda value: self._tell_change(min_acceptance_ratio=round(value, 2)))

    def _tell_change(self, **fields: Any) -> None:
        self._explain()
        self.changed.emit(fields)

    def _explain(self) -> None:
        self._drafter_words.setText(drafter_line(self._drafters[self.drafter.currentIndex()]))
        self._shape_words.setText(self.tr(SHAPES[self.shape.currentIndex()][2]))
        _, rule, words = RULES[self.rule.currentIndex()]
        self._rule_words.setText(self.tr(words))
        # What is lossy is said by the first word; the colour only makes sure that it is seen.
        self._rule_words.setStyleSheet(f"color: {self._palette.danger}" if rule == "typical" else "")


def _choice(names: Sequence[str], palette: Palette) -> ChoiceBox:
    box = ChoiceBox(palette)
    box.addItems(list(names))
    return box


def _share() -> QDoubleSpinBox:
    box = QDoubleSpinBox(minimum=0.0, maximum=1.0, singleStep=0.05, decimals=2)
    box.setFixedWidth(SHARE_PX)
    box.setAlignment(Qt.AlignmentFlag.AlignHCenter)
    return box


def _muted(words: str = "") -> QLabel:
    label = QLabel(words, wordWrap=True)
    label.setProperty("role", "muted")
    return label


def _place(rows: Sequence[tuple[str, str, str]], value: str) -> int:
    return next((index for index, row in enumerate(rows) if row[1] == value), 0)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
