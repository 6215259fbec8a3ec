"""The empty conversation: a friendly word, and a few questions to begin with."""

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from app.look import icons
from app.look.theme import Palette
from app.prompts.examples import ExamplePrompt

COLUMN_PX = 640
CARD_LEAST_PX = 80
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
        about = QLabel(
            self.tr(
                "A small draft model guesses ahead, and the target model checks the guesses: the same words, sooner."
            ),
            alignment=Qt.AlignmentFlag.AlignHCenter,
            wordWrap=True,
        )
        about.setProperty("role", "muted")
        column = QWidget(objectName="column")
        column.setMaximumWidth(COLUMN_PX)
        self._column = layout = QVBoxLayout(column)
        layout.setContentsMargins(24, 24, 24, 24)
        layout.setSpacing(10)
        layout.addStretch(4)
        for widget in (self._mark, title, about):
            layout.addWidget(widget)
        layout.addSpacing(18)
        self._grid = grid = QGridLayout()
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
        self.apply_palette(palette)

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._mark.setPixmap(icons.pixmap("mark", palette.accent, 44))
        self._fit()

    def _fit(self) -> None:
        """All cards as high as the one with most lines: a button takes no notice of what lies in it."""
        left, _, right, _ = self._column.getContentsMargins()
        width = (min(self.viewport().width(), COLUMN_PX) - left - right - self._grid.horizontalSpacing()) // 2
        for label in self.findChildren(QLabel):
            label.ensurePolished()
        heights = [card.layout().totalHeightForWidth(width) for card in self.cards]
        for card in self.cards:
            card.setFixedHeight(max(CARD_LEAST_PX, *heights))

    def _card(self, example: ExamplePrompt) -> QPushButton:
        card = QPushButton(objectName="card")
        card.setAccessibleName(self.tr("Ask: {0}").format(example.title))
        card.setCursor(Qt.CursorShape.PointingHandCursor)
        title, text = QLabel(example.title), QLabel(_teaser(example.text), wordWrap=True)
        title.setProperty("role", "name")
        text.setProperty("role", "muted")
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

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Narrower cards are higher."""
        super().resizeEvent(event)
        self._fit()


def _teaser(text: str) -> str:
    """The beginning of a prompt, cut between two words."""
    flat = " ".join(text.replace("`", "").split())
    return flat if len(flat) <= TEASER_CHARS else flat[:TEASER_CHARS].rsplit(" ", 1)[0].rstrip(",.;:") + "…"
