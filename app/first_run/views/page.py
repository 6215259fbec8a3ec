"""The first page: what this is, that it is ready, which models suit this machine, and what speculation brings here."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from app.engine.process import EngineState
from app.first_run.advice import AdviceViewModel
from app.first_run.minute import MinuteBench
from app.first_run.views.measuring import Measuring
from app.first_run.views.suggestion_card import SuggestionCard
from app.look import icons
from app.look.theme import Palette
from app.models import format_bytes

COLUMN_PX = 640
STARTER = "starter"  # what the engine calls it


class FirstPage(QScrollArea):
    """Stands where the conversation will be.

    Signals:
        start_chosen: somebody wants to chat.
        pair_chosen: the Suggestion that was pressed.
        measure_chosen: the minute is to begin, or to end.
    """

    start_chosen = Signal()
    pair_chosen = Signal(object)
    measure_chosen = Signal()

    def __init__(
        self, advice: AdviceViewModel, bench: MinuteBench, palette: Palette, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)  # as the conversation has it
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(self.tr("First steps"))
        self._advice = advice
        self._mark = QLabel(alignment=Qt.AlignmentFlag.AlignHCenter)
        self.headline = _text(self.tr("Getting ready"), "section")
        self.standing = _text("", "advice")
        self.start = QPushButton(self.tr("Start Chatting"))
        self.start.setProperty("role", "wide")
        self.models_words = _text("", "muted")
        self.cards: list[SuggestionCard] = []
        self._card_rows = QVBoxLayout()
        self._card_rows.setSpacing(8)
        self.measuring = Measuring(bench)
        self._closing = QVBoxLayout()
        self._build()
        self.start.clicked.connect(self.start_chosen)
        self.measuring.button.clicked.connect(self.measure_chosen)
        advice.changed.connect(self.show_advice)
        self.apply_palette(palette)
        self.show_advice()

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._mark.setPixmap(icons.pixmap("mark", palette.accent, 44))

    def add_closing(self, widget: QWidget) -> None:
        """Show what others have to say on this page, below all else."""
        if self._closing.isEmpty():
            self._closing.addSpacing(14)
            self._closing.addWidget(QFrame(objectName="separator"))
            self._closing.addSpacing(10)
        self._closing.addWidget(widget)

    def show_engine(self, state: EngineState, message: str, model: str) -> None:
        """Say whether it can be asked."""
        is_ready = state is EngineState.READY and bool(model)
        if is_ready:
            self.headline.setText(self.tr("Ready to chat"))
            words = self.tr("✓ {0} is loaded, and can be asked.").format(model)
            if model == STARTER:
                words = self.tr("✓ The starter is loaded: SmolLM2-135M-Instruct, with drafts made for it.")
                words += " " + self.tr("It came with Lookahead and needs no network. Ask it short questions.")
            self.standing.setText(words)
        elif state is EngineState.STOPPED:
            self.headline.setText(self.tr("Not ready to chat"))
            self.standing.setText(self.tr("The engine does not run."))
        else:
            self.headline.setText(self.tr("Getting ready"))
            told = message if message.endswith((".", "…")) else f"{message}."
            self.standing.setText(self.tr("{0} At a first start this measures the machine, once.").format(told))
        self.measuring.set_can_start(is_ready)

    def show_advice(self) -> None:
        """Show the pairs that suit the machine."""
        for card in self.cards:
            self._card_rows.removeWidget(card)
            card.deleteLater()
        self.cards = []
        found = self._advice.suggestions
        if found is None:
            refused = self._advice.refusal is not None and self._advice.refusal.kind != "gone"
            unknown = self.tr("This engine does not tell which. File ▸ Models… lists all known pairs.")
            self.models_words.setText(unknown if refused else self.tr("Known when the engine is ready."))
            return
        there = format_bytes(found.available_bytes)
        if not found.found:
            none = self.tr("No known pair fits into {0} with room to spare. The starter does.")
            self.models_words.setText(none.format(there))
            return
        words = self.tr("Chosen for {0} of memory. They are fetched from the Hub, when you say so.").format(there)
        if found.bandwidth:
            words += " " + self.tr("Speeds are reckoned from the memory's, {0}/s as measured here.").format(
                f"{found.bandwidth / 1e9:.3g} GB"
            )
        self.models_words.setText(words)
        for suggestion in found.found:
            card = SuggestionCard(suggestion, found.available_bytes)
            card.clicked.connect(lambda _=False, one=suggestion: self.pair_chosen.emit(one))
            self.cards.append(card)
            self._card_rows.addWidget(card)

    def _build(self) -> None:
        title = _text(self.tr("Welcome to Lookahead"), "title")
        about = " ".join(
            (
                self.tr("Language models on your own computer."),
                self.tr("A small draft model guesses ahead, and the target model checks: the same words, sooner."),
                self.tr("What you write stays here."),
            )
        )
        about = _text(about, "advice")
        for label in (title, about):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        column = QWidget(objectName="column")
        column.setMaximumWidth(COLUMN_PX)
        layout = QVBoxLayout(column)
        layout.setContentsMargins(24, 24, 24, 24)
        layout.setSpacing(8)
        for widget in (self._mark, title, about):
            layout.addWidget(widget)
        self._section(layout, self.headline, self.standing)
        row = QHBoxLayout()
        row.setContentsMargins(0, 4, 0, 0)
        row.addWidget(self.start)
        row.addStretch()
        layout.addLayout(row)
        self._section(layout, _text(self.tr("Models for this machine"), "section"), self.models_words)
        layout.addLayout(self._card_rows)
        self._section(layout, _text(self.tr("What does looking ahead bring here?"), "section"), self.measuring)
        layout.addLayout(self._closing)
        layout.addStretch()
        page = QWidget(objectName="column")
        whole = QHBoxLayout(page)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(column)
        self.setWidget(page)

    def _section(self, layout: QVBoxLayout, heading: QLabel, widget: QWidget) -> None:
        layout.addSpacing(14)
        layout.addWidget(QFrame(objectName="separator"))
        layout.addSpacing(4)
        layout.addWidget(heading)
        layout.addWidget(widget)


def _text(text: str, role: str) -> QLabel:
    label = QLabel(text, wordWrap=True)
    label.setProperty("role", role)
    label.setTextFormat(Qt.TextFormat.PlainText)
    return label
