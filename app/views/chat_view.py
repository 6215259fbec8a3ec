"""The conversation: a scrolling column of questions and answers that stays at its end while one reads there."""

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from app import icons
from app.conversation import Turn
from app.protocol import Prefill
from app.theme import Palette
from app.views.answer_view import AnswerView
from app.views.question_view import QuestionView

COLUMN_PX = 740
SCROLL_BAR_PX = 10  # as wide as the style sheet makes it
NEAR_END_PX = 40


class ChatView(QScrollArea):
    """Shows the turns of a conversation.

    Signals:
        seed_chosen, again_chosen, round_hovered: those of the AnswerViews.
    """

    seed_chosen = Signal(int)
    again_chosen = Signal()
    round_hovered = Signal(object)

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._palette = palette
        self._turns: list[tuple[Turn, QuestionView, AnswerView]] = []
        self._follows = True
        self.setWidgetResizable(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName("Conversation")
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # Always there, so that the column keeps its place above the composer.
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        page = QWidget(objectName="column")
        column = QWidget(objectName="column")
        column.setMaximumWidth(COLUMN_PX)
        self._column = QVBoxLayout(column)
        self._column.setContentsMargins(24, 28, 24, 28)
        self._column.setSpacing(22)
        self._column.addStretch()
        row = QHBoxLayout(page)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(column)
        self.setWidget(page)
        self._to_end = QPushButton(self)
        self._to_end.setProperty("role", "outline")
        self._to_end.setAccessibleName("Go to the end of the conversation")
        self._to_end.setToolTip("Go to the end")
        self._to_end.setFixedSize(34, 34)
        self._to_end.setIconSize(QSize(18, 18))
        self._to_end.clicked.connect(self.follow)
        self._to_end.hide()
        self.verticalScrollBar().valueChanged.connect(self._on_scrolled)
        self.verticalScrollBar().rangeChanged.connect(self._on_range)
        self.wear(palette)

    @property
    def answers(self) -> list[AnswerView]:
        """The answers, oldest first."""
        return [answer for _, _, answer in self._turns]

    @property
    def focus_chain(self) -> list[QWidget]:
        """What Tab reaches, in the order one reads."""
        return [widget for answer in self.answers for widget in answer.focus_chain]

    def add_turn(self, turn: Turn, model: str) -> None:
        """Show a question and follow its answer."""
        for answer in self.answers:
            answer.action_row.set_past()
        question, answer = QuestionView(turn.question), AnswerView(turn.answer, model, self._palette)
        answer.seed_chosen.connect(self.seed_chosen)
        answer.again_chosen.connect(self.again_chosen)
        answer.round_hovered.connect(self.round_hovered)
        if self._turns:
            answer.switch.choose(self.answers[-1].switch.index)
        self._turns.append((turn, question, answer))
        self._column.insertWidget(self._column.count() - 1, question)
        self._column.insertWidget(self._column.count() - 1, answer)
        self.follow()

    def remove_turn(self, turn: Turn) -> None:
        """Take a turn away."""
        for entry in [entry for entry in self._turns if entry[0] is turn]:
            self._turns.remove(entry)
            for widget in entry[1:]:
                self._column.removeWidget(widget)
                widget.hide()
                widget.deleteLater()

    def clear(self) -> None:
        """Take everything away."""
        for turn, _, _ in list(self._turns):
            self.remove_turn(turn)

    def show_prefill(self, progress: Prefill | None) -> None:
        """Tell how far the newest prompt is read."""
        if self._turns:
            self.answers[-1].show_prefill(progress)

    def grew(self) -> None:
        """The newest answer got longer."""
        if self._turns:
            self.answers[-1].grew()

    def closed(self) -> None:
        """The newest answer is closed."""
        if self._turns:
            self.answers[-1].closed()

    def wear(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette
        self._to_end.setIcon(icons.icon("down", palette.text))
        for answer in self.answers:
            answer.wear(palette)

    def follow(self) -> None:
        """Go to the end and stay there."""
        self._follows = True
        self._to_end.hide()
        self.verticalScrollBar().setValue(self.verticalScrollBar().maximum())

    def _on_range(self, _low: int, high: int) -> None:
        if self._follows:
            self.verticalScrollBar().setValue(high)
        self._to_end.setVisible(not self._follows and high > 0)

    def _on_scrolled(self, value: int) -> None:
        self._follows = value >= self.verticalScrollBar().maximum() - NEAR_END_PX
        self._to_end.setVisible(not self._follows)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the button over the middle of the lower edge."""
        super().resizeEvent(event)
        self._to_end.move((self.viewport().width() - self._to_end.width()) // 2, self.height() - 46)
