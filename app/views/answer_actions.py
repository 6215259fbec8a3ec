"""The row under an answer: copy it, ask again, use its seed again, and how it ended."""

from PySide6.QtCore import QSize, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget

from app import icons
from app.conversation import Answer
from app.theme import Palette

_ENDINGS = {"stopped": "Stopped", "failed": "Interrupted"}


class AnswerActions(QWidget):
    """Shown once the answer is closed; keeps its room before that, so that nothing jumps.

    Signals:
        copy_chosen, again_chosen, seed_chosen: a button was pressed.
    """

    copy_chosen = Signal()
    again_chosen = Signal()
    seed_chosen = Signal()

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._copy = self._button("Copy", "Copy answer", "Copy the answer as markdown")
        self._again = self._button("Ask again", "Ask again", "Ask the same question again, in place of this answer")
        self._seed = self._button(
            "", "Use this seed again", "Use it for the next answers: the same question brings the same words"
        )
        self._ending = QLabel()
        self._ending.setProperty("role", "muted")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for widget in (self._copy, self._again, self._seed):
            layout.addWidget(widget)
        layout.addStretch()
        layout.addWidget(self._ending)
        self._copy.clicked.connect(self.copy_chosen)
        self._again.clicked.connect(self.again_chosen)
        self._seed.clicked.connect(self.seed_chosen)
        self.setFixedHeight(self.sizeHint().height())
        self.wear(palette)

    @property
    def focus_chain(self) -> list[QWidget]:
        """What Tab reaches."""
        return [self._copy, self._again, self._seed]

    def show_answer(self, answer: Answer) -> None:
        """Offer what this answer allows."""
        is_closed = not answer.is_open
        self._copy.setVisible(is_closed and bool(answer.text))
        self._again.setVisible(is_closed and not self._again.property("isPast"))
        self._seed.setVisible(is_closed)
        self._seed.setText(f"Seed {answer.seed}")
        self._ending.setText("Length limit reached" if answer.was_cut else _ENDINGS.get(answer.state, ""))

    def set_past(self) -> None:
        """Another question followed: this one can no longer be asked again in place."""
        self._again.setProperty("isPast", True)
        self._again.hide()

    def wear(self, palette: Palette) -> None:
        """Draw the icons in the palette's colours."""
        for button, name in ((self._copy, "copy"), (self._again, "again"), (self._seed, "dice")):
            button.setIcon(icons.icon(name, palette.muted))

    def _button(self, text: str, name: str, tip: str) -> QPushButton:
        button = QPushButton(text)
        button.setProperty("role", "chip")
        button.setAccessibleName(name)
        button.setToolTip(tip)
        button.setIconSize(QSize(15, 15))
        return button
