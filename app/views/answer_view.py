"""One answer: its markdown or its tokens, and what can be done with it."""

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.conversation import Answer
from app.protocol import Prefill
from app.theme import Palette
from app.views.answer_actions import AnswerActions
from app.views.markdown_view import MarkdownView
from app.views.reading_bar import ReadingBar
from app.views.segmented import Segmented
from app.views.token_legend import TokenLegend
from app.views.tokens_view import TokensView

REPAINT_MS = 33
TOKENS = 1


class AnswerView(QWidget):
    """Follows an Answer; repaints at most thirty times a second.

    Signals:
        seed_chosen: the seed of this answer, to be used again.
        again_chosen: this answer's question is to be asked again.
        round_hovered: the Round under the pointer.
    """

    seed_chosen = Signal(int)
    again_chosen = Signal()
    round_hovered = Signal(object)

    def __init__(self, answer: Answer, model: str, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.answer = answer
        self._palette = palette
        self._name = QLabel(model or "Answer")
        self._name.setProperty("role", "muted")
        self.switch = Segmented(("Answer", "Tokens"), "Show")
        self._reading = ReadingBar()
        self._markdown = MarkdownView()
        self._tokens_page = QWidget()
        self.tokens: TokensView | None = None
        self._num_shown_rounds = 0
        self.action_row = AnswerActions(palette)
        self._repaint = QTimer(self, singleShot=True, interval=REPAINT_MS)
        self._repaint.timeout.connect(self._show)
        self._build()
        self._show()

    @property
    def focus_chain(self) -> list[QWidget]:
        """What Tab reaches, in the order one reads."""
        tokens = [self.tokens] if self.tokens is not None else []
        return [*self.switch.buttons, *self._markdown.focus_chain, *tokens, *self.action_row.focus_chain]

    def grew(self) -> None:
        """The answer got longer: show it soon."""
        self._reading.hide()
        if not self._repaint.isActive():
            self._repaint.start()

    def closed(self) -> None:
        """The answer is complete, or as complete as it will be."""
        self._reading.hide()
        self._repaint.stop()
        self._show()

    def show_prefill(self, progress: Prefill | None) -> None:
        """Tell how far the prompt is read."""
        self._reading.show_progress(progress)

    def wear(self, palette: Palette) -> None:
        """Write everything again in other colours."""
        self._palette = palette
        self._markdown.clear()
        self.action_row.wear(palette)
        self._drop_tokens()
        self._show()

    def _build(self) -> None:
        header = QHBoxLayout()
        header.addWidget(self._name)
        header.addStretch()
        header.addWidget(self.switch)
        tokens_layout = QVBoxLayout(self._tokens_page)
        tokens_layout.setContentsMargins(0, 0, 0, 0)
        tokens_layout.setSpacing(14)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(10)
        layout.addLayout(header)
        for widget in (self._reading, self._markdown, self._tokens_page, self.action_row):
            layout.addWidget(widget)
        self._reading.hide()
        self.switch.chosen.connect(lambda index: self._show())
        self.action_row.copy_chosen.connect(lambda: QGuiApplication.clipboard().setText(self.answer.text))
        self.action_row.seed_chosen.connect(lambda: self.seed_chosen.emit(self.answer.seed))
        self.action_row.again_chosen.connect(self.again_chosen)

    def _show(self) -> None:
        shows_tokens = self.switch.index == TOKENS
        self.switch.setVisible(bool(self.answer.rounds))
        self._markdown.setVisible(not shows_tokens)
        self._tokens_page.setVisible(shows_tokens)
        if shows_tokens:
            self._show_tokens()
        self._markdown.show_text(self.answer.text, self._palette, is_final=not self.answer.is_open)
        self.action_row.show_answer(self.answer)

    def _show_tokens(self) -> None:
        if self.tokens is None:
            self.tokens = TokensView(self._palette)
            self.tokens.round_hovered.connect(self._on_round_hovered)
            self._tokens_page.layout().addWidget(TokenLegend(self._palette))
            self._tokens_page.layout().addWidget(self.tokens)
            QWidget.setTabOrder(self.switch.buttons[-1], self.tokens)
        for one in self.answer.rounds[self._num_shown_rounds :]:
            self.tokens.append_round(one)
        self._num_shown_rounds = len(self.answer.rounds)

    def _drop_tokens(self) -> None:
        while item := self._tokens_page.layout().takeAt(0):
            item.widget().hide()
            item.widget().deleteLater()
        self.tokens, self._num_shown_rounds = None, 0

    def _on_round_hovered(self, index: int) -> None:
        for one in self.answer.rounds:
            if one.index == index:
                self.round_hovered.emit(one)
