"""The empty conversation: a friendly word, and a few questions to begin with."""

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from app import icons
from app.example_prompts import ExamplePrompt
from app.theme import Palette

COLUMN_PX = 640
CARD_PX = 88
TEASER_LINE_PX = 17  # two whole lines show, never half of a third
TEASER_CHARS = 84


class Welcome(QScrollArea):
    """Shown while nothing has been asked.

    Signals:
        example_chosen: the ExamplePrompt that was pressed.
    """

    example_chosen = Signal(object)

    def __init__(self, examples: Sequence[ExamplePrompt], palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)  # as the conversation has it
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(self.tr("Welcome"))
        self._mark = QLabel(alignment=Qt.AlignmentFlag.AlignHCenter)
        self.cards = [self._card(example) for example in examples]
        title = QLabel(self.tr("What would you like to know?"), alignment=Qt.AlignmentFlag.AlignHCenter, wordWrap=True)
        title.setProperty("role", "title")
        text = "A small draft model guesses ahead, and the target model checks the guesses: the same words, sooner."
        about = QLabel(text, alignment=Qt.AlignmentFlag.AlignHCenter, wordWrap=True)
        about.setProperty("role", "muted")
        column = QWidget(objectName="column")
        column.setMaximumWidth(COLUMN_PX)
        layout = QVBoxLayout(column)
        layout.setContentsMargins(24, 24, 24, 24)
        layout.setSpacing(10)
        layout.addStretch(4)
        for widget in (self._mark, title, about):
            layout.addWidget(widget)
        layout.addSpacing(18)
        grid = QGridLayout()
        grid.setSpacing(12)
        for index, card in enumerate(self.cards):
            grid.addWidget(card, index // 2, index % 2)
        layout.addLayout(grid)
        layout.addStretch(5)
        page = QWidget(objectName="column")
        row = QHBoxLayout(page)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(column)
        self.setWidget(page)
        self.wear(palette)

    def wear(self, palette: Palette) -> None:
        """Put on other colours."""
        self._mark.setPixmap(icons.pixmap("mark", palette.accent, 44))

    def _card(self, example: ExamplePrompt) -> QPushButton:
        card = QPushButton(objectName="card")
        card.setAccessibleName(self.tr("Ask: {0}").format(example.title))
        card.setFixedHeight(CARD_PX)
        card.setCursor(Qt.CursorShape.PointingHandCursor)
        title, text = QLabel(example.title), QLabel(_teaser(example.text), wordWrap=True)
        title.setProperty("role", "name")
        text.setProperty("role", "muted")
        text.setFixedHeight(2 * TEASER_LINE_PX)
        layout = QVBoxLayout(card)
        layout.setContentsMargins(16, 12, 16, 12)
        layout.setSpacing(4)
        for label in (title, text):
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            label.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
            layout.addWidget(label)
        layout.addStretch()
        card.clicked.connect(lambda: self.example_chosen.emit(example))
        return card


def _teaser(text: str) -> str:
    """The beginning of a prompt, cut between two words."""
    flat = " ".join(text.replace("`", "").split())
    return flat if len(flat) <= TEASER_CHARS else flat[:TEASER_CHARS].rsplit(" ", 1)[0].rstrip(",.;:") + "…"
