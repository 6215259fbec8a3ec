"""One answer: its markdown or its tokens, and what can be done with it."""

import time
from itertools import pairwise

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.chat.views.answer.actions import AnswerActions
from app.chat.views.answer.markdown import MarkdownView
from app.chat.views.answer.reading_bar import ReadingBar
from app.chat.views.answer.reasoning import ReasoningView
from app.engine.protocol import Prefill, Standing
from app.look.theme import Palette
from app.look.widgets.segmented import Segmented
from app.render.reasoning import split_reasoning
from app.store import Answer, Turn
from app.tokens import TokensPage, TokensView

REPAINT_MS = 33
IDLE_SHARE = 4  # after a repaint the window rests four times as long as that took
TOKENS = 1


class AnswerView(QWidget):
    """Follows an Answer; repaints at most thirty times a second, and less often where that takes long.

    Signals:
        seed_chosen: the seed of this answer, to be used again.
        rounds_wanted: the Answer whose rounds are to be filled in before the slot returns.
        rounds_chosen: the Answer whose tokens were asked for: its rounds are what one looks at.
        round_hovered: the Answer, and its Round under the pointer or None.
    """

    seed_chosen = Signal(int)
    rounds_wanted = Signal(object)
    rounds_chosen = Signal(object)
    round_hovered = Signal(object, object)

    def __init__(self, turn: Turn, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.answer: Answer = turn.answer
        self._turn = turn
        self._is_last = True
        self._palette = palette
        self._name = QLabel(turn.answer.model or self.tr("Answer"))
        self._name.setProperty("role", "muted")
        self.switch = Segmented((self.tr("Answer"), self.tr("Tokens")), self.tr("Show"))
        self.reading = ReadingBar()
        self._reasoning = ReasoningView(palette)
        self._markdown = MarkdownView()
        self._tokens_page = QWidget()
        self.tokens: TokensView | None = None
        self._num_shown_rounds = 0
        self._shown_text = ""
        self.action_row = AnswerActions(palette)
        self._repaint = QTimer(self, singleShot=True, interval=REPAINT_MS)
        self._repaint.timeout.connect(self._show)
        self._build()
        self._show()

    @property
    def focus_chain(self) -> list[QWidget]:
        """What Tab reaches, in the order one reads."""
        tokens = [self.tokens] if self.tokens is not None else []
        return [
            *self.switch.buttons,
            *self._reasoning.focus_chain,
            *self._markdown.focus_chain,
            *tokens,
            *self.action_row.focus_chain,
        ]

    def grew(self) -> None:
        """The answer got longer: show it soon."""
        self.reading.hide()
        if not self._repaint.isActive():
            self._repaint.start()

    def reopened(self) -> None:
        """The closed answer is going to grow: its last block is open again."""
        self._markdown.clear()
        self._shown_text = ""
        self._show()

    def closed(self) -> None:
        """The answer is complete, or as complete as it will be."""
        self.reading.hide()
        self._repaint.stop()
        self._show()

    def set_last(self, is_last: bool) -> None:
        """Whether this is the newest answer, the one that can go on."""
        self._is_last = is_last
        self._show_actions()

    def show_prefill(self, progress: Prefill | None) -> None:
        """Tell how far the prompt is read."""
        self.reading.show_progress(progress)

    def show_standing(self, standing: Standing) -> None:
        """Tell that the answer has to wait for others, or that it goes on."""
        if standing.state == "on" and self.answer.text:
            self.reading.hide()
        else:
            self.reading.show_standing(standing)

    def apply_palette(self, palette: Palette) -> None:
        """Write everything again in other colours."""
        self._palette = palette
        self._markdown.clear()
        self._reasoning.apply_palette(palette)
        self.action_row.apply_palette(palette)
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
        # Where an answer is set aside in its midst, that is told where its text ends.
        for widget in (self._reasoning, self._markdown, self._tokens_page, self.reading, self.action_row):
            layout.addWidget(widget)
        self.reading.hide()
        self.switch.chosen.connect(self._on_switched)
        self.action_row.copy_chosen.connect(lambda: QGuiApplication.clipboard().setText(self.answer.text))
        self.action_row.seed_chosen.connect(lambda: self.seed_chosen.emit(self.answer.seed))

    def _show(self) -> None:
        started = time.perf_counter()
        shows_tokens = self.switch.index == TOKENS
        self.switch.setVisible(self.answer.has_rounds)
        self._markdown.setVisible(not shows_tokens)
        self._tokens_page.setVisible(shows_tokens)
        if shows_tokens:
            self._reasoning.hide()
            self._show_tokens()
        else:
            self._show_text()
        self._show_actions()
        took_ms = 1000 * (time.perf_counter() - started)
        self._repaint.setInterval(max(REPAINT_MS, round(IDLE_SHARE * took_ms)))

    def _on_switched(self, index: int) -> None:
        if index == TOKENS:
            self.rounds_chosen.emit(self.answer)
        self._show()

    def _show_text(self) -> None:
        parts = split_reasoning(self.answer.text)
        is_open = self.answer.is_open
        self._reasoning.show_reasoning(parts.reasoning, is_thinking=parts.is_thinking and is_open)
        if not parts.answer.startswith(self._shown_text):  # what seemed to be said turned out to be thought
            self._markdown.clear()
        self._markdown.show_text(parts.answer, self._palette, is_final=not is_open)
        self._shown_text = parts.answer

    def _show_actions(self) -> None:
        self.action_row.show_answer(self.answer, self._turn.asked.answers, is_last=self._is_last)

    def _show_tokens(self) -> None:
        if self.tokens is None:
            page = TokensPage(self._palette)
            self.tokens = page.view
            self.tokens.round_hovered.connect(self._on_round_hovered)
            self.tokens.round_chosen.connect(self._on_round_chosen)
            self._tokens_page.layout().addWidget(page)
            for first, second in pairwise([self.switch.buttons[-1], *page.focus_chain]):
                QWidget.setTabOrder(first, second)
        if not self.answer.rounds:
            self.rounds_wanted.emit(self.answer)
        for one in self.answer.rounds[self._num_shown_rounds :]:
            self.tokens.append_round(one)
        self._num_shown_rounds = len(self.answer.rounds)

    def _drop_tokens(self) -> None:
        while item := self._tokens_page.layout().takeAt(0):
            item.widget().hide()
            item.widget().deleteLater()
        self.tokens, self._num_shown_rounds = None, 0

    def _on_round_hovered(self, index: int) -> None:
        one = self.answer.rounds[index] if 0 <= index < len(self.answer.rounds) else None
        self.round_hovered.emit(self.answer, one)

    def _on_round_chosen(self, index: int) -> None:
        self.rounds_chosen.emit(self.answer)
        self._on_round_hovered(index)
