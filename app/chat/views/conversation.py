"""The conversation: a scrolling column of questions and answers that stays at its end while one reads there."""

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from app.chat.views.answer.view import AnswerView
from app.chat.views.question import QuestionView
from app.engine.protocol import Prefill, Standing
from app.look import icons
from app.look.theme import Palette
from app.store import Answer, Turn

COLUMN_PX = 740
SCROLL_BAR_PX = 10  # as wide as the style sheet makes it
NEAR_END_PX = 40
FIRST_TURNS = 3  # drawn before the chat shows; earlier ones follow one by one
PAGE_TURNS = 12
KEPT_TURNS = 40  # so many have views when a question is asked; earlier ones get theirs again when one scrolls to them
NEAR_START_PX = 400


@dataclass(frozen=True, slots=True)
class _Entry:
    turn: Turn
    question: QuestionView
    answer: AnswerView


class ChatView(QScrollArea):
    """Shows the turns of a conversation, the newest ones first; earlier ones are made as one scrolls towards them.

    Signals:
        seed_chosen, rounds_wanted, round_hovered: those of the AnswerViews.
        again_chosen, continue_chosen, branch_chosen: a Turn, whose answer's button was pressed.
        edited: a Turn, and other words for its question.
        stepped: Versions, and how many places further the one to show is.
        rounds_chosen: the Answer whose rounds the panel is to show.
    """

    seed_chosen = Signal(int)
    rounds_wanted = Signal(object)
    round_hovered = Signal(object, object)
    again_chosen = Signal(object)
    continue_chosen = Signal(object)
    branch_chosen = Signal(object)
    edited = Signal(object, str)
    stepped = Signal(object, int)
    rounds_chosen = Signal(object)

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._palette = palette
        self._turns: list[Turn] = []
        self._entries: list[_Entry] = []  # of the last turns; the earlier ones have none yet
        self._wanted = 0
        self._high = 0
        self._follows = True
        self._is_enabled = True
        self._earlier = QTimer(self, interval=0)
        self._earlier.timeout.connect(self._show_one_earlier)
        self._build()
        self.verticalScrollBar().valueChanged.connect(self._on_scrolled)
        self.verticalScrollBar().rangeChanged.connect(self._on_range)
        self.apply_palette(palette)

    @property
    def answers(self) -> list[AnswerView]:
        """The answers that have a view, oldest first."""
        return [entry.answer for entry in self._entries]

    @property
    def questions(self) -> list[QuestionView]:
        """The questions that have a view, oldest first."""
        return [entry.question for entry in self._entries]

    @property
    def focus_chain(self) -> list[QWidget]:
        """What Tab reaches, in the order one reads."""
        return [one for entry in self._entries for part in (entry.question, entry.answer) for one in part.focus_chain]

    def show_path(self, turns: Sequence[Turn]) -> None:
        """Show these turns; views of those that showed before, with all earlier ones, stay."""
        kept = 0
        while kept < min(len(turns), len(self._turns)) and turns[kept].answer is self._turns[kept].answer:
            kept += 1
        num_unseen = len(self._turns) - len(self._entries)
        for entry in self._entries[max(0, kept - num_unseen) :]:
            self._drop(entry)
        del self._entries[max(0, kept - num_unseen) :]
        self._turns = list(turns)
        if kept < num_unseen or not self._entries:
            self._show_anew()
        else:
            for turn in turns[kept:]:
                self._entries.append(self._add(turn, self._column.count() - 1))
        self._mark_last()
        self.follow()

    def add_turn(self, turn: Turn) -> None:
        """Show a question and follow its answer."""
        self._turns.append(turn)
        self._entries.append(self._add(turn, self._column.count() - 1))
        if len(self._entries) > 1:
            self._entries[-1].answer.switch.choose(self._entries[-2].answer.switch.index)
        self._forget_early()
        self._mark_last()
        self.follow()

    def clear(self) -> None:
        """Take everything away."""
        self.show_path(())

    def reveal(self, turn_index: int) -> QWidget | None:
        """Scroll to a turn, making its view where it has none; None where there is no such turn."""
        if not 0 <= turn_index < len(self._turns):
            return None
        while len(self._turns) - len(self._entries) > turn_index:
            self._show_one_earlier()
        entry = self._entries[turn_index - len(self._turns) + len(self._entries)]
        self._follows = False
        self._column.activate()
        QTimer.singleShot(0, self, lambda: self.verticalScrollBar().setValue(max(0, entry.question.y() - 16)))
        return entry.answer

    def set_enabled_versions(self, is_enabled: bool) -> None:
        """Whether other versions can be shown and asked now."""
        self._is_enabled = is_enabled
        for entry in self._entries:
            entry.question.show_versions(is_enabled=is_enabled)

    def show_prefill(self, progress: Prefill | None) -> None:
        """Tell how far the newest prompt is read."""
        if self._entries:
            self.answers[-1].show_prefill(progress)

    def show_standing(self, standing: Standing) -> None:
        """Tell how the newest answer stands among others."""
        if self._entries:
            self.answers[-1].show_standing(standing)

    def grew(self) -> None:
        """The newest answer got longer."""
        if self._entries:
            self.answers[-1].grew()

    def reopened(self, answer: Answer) -> None:
        """The newest answer is going to get longer again."""
        for view in self.answers:
            if view.answer is answer:
                view.reopened()

    def closed(self) -> None:
        """The newest answer is closed."""
        if self._entries:
            self.answers[-1].closed()

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette
        self._to_end.setIcon(icons.icon("down", palette.text))
        for entry in self._entries:
            entry.question.apply_palette(palette)
            entry.answer.apply_palette(palette)

    def follow(self) -> None:
        """Go to the end and stay there."""
        self._follows = True
        self._to_end.hide()
        self.verticalScrollBar().setValue(self.verticalScrollBar().maximum())

    def _build(self) -> None:
        self.setWidgetResizable(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(self.tr("Conversation"))
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # Always there, so that the column keeps its place above the composer.
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        page, column = QWidget(objectName="column"), QWidget(objectName="column")
        column.setMaximumWidth(COLUMN_PX)
        self._column = QVBoxLayout(column)
        self._column.setContentsMargins(24, 28, 24, 28)
        self._column.setSpacing(16)
        self._column.addStretch()
        row = QHBoxLayout(page)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(column)
        self.setWidget(page)
        self._to_end = QPushButton(self)
        self._to_end.setProperty("role", "outline")
        self._to_end.setAccessibleName(self.tr("Go to the end of the conversation"))
        self._to_end.setToolTip(self.tr("Go to the end"))
        self._to_end.setFixedSize(34, 34)
        self._to_end.setIconSize(QSize(18, 18))
        self._to_end.clicked.connect(self.follow)
        self._to_end.hide()

    def _show_anew(self) -> None:
        for entry in self._entries:
            self._drop(entry)
        self._entries = []
        for turn in self._turns[-FIRST_TURNS:]:
            self._entries.append(self._add(turn, self._column.count() - 1))
        self._want_earlier(PAGE_TURNS)

    def _forget_early(self) -> None:
        """Views are most of what a chat takes in memory: the earliest go as new ones come."""
        if len(self._entries) > KEPT_TURNS:
            for entry in self._entries[:-KEPT_TURNS]:
                self._drop(entry)
            del self._entries[:-KEPT_TURNS]
            self._wanted = KEPT_TURNS

    def _want_earlier(self, num: int) -> None:
        self._wanted = min(len(self._turns), max(self._wanted, len(self._entries)) + num)
        if len(self._entries) < self._wanted:
            self._earlier.start()

    def _show_one_earlier(self) -> None:
        """One view a turn of the event loop: a long chat opens at once, and fills from its end."""
        index = len(self._turns) - len(self._entries) - 1
        if index < 0 or (self._earlier.isActive() and len(self._entries) >= self._wanted):
            self._earlier.stop()
            if index >= 0 and not self._follows and self.verticalScrollBar().value() < NEAR_START_PX:
                self._want_earlier(PAGE_TURNS)  # one scrolled on while these came
            return
        self._entries.insert(0, self._add(self._turns[index], 0))

    def _add(self, turn: Turn, place: int) -> _Entry:
        question, answer = QuestionView(turn, self._palette), AnswerView(turn, self._palette)
        question.show_versions(is_enabled=self._is_enabled)
        question.edited.connect(lambda text: self.edited.emit(turn, text))
        question.stepped.connect(lambda by: self.stepped.emit(turn.siblings, by))
        answer.seed_chosen.connect(self.seed_chosen)
        answer.rounds_wanted.connect(self.rounds_wanted)
        answer.rounds_chosen.connect(self.rounds_chosen)
        answer.round_hovered.connect(self.round_hovered)
        actions = answer.action_row
        actions.again_chosen.connect(lambda: self.again_chosen.emit(turn))
        actions.continue_chosen.connect(lambda: self.continue_chosen.emit(turn))
        actions.branch_chosen.connect(lambda: self.branch_chosen.emit(turn))
        actions.stepped.connect(lambda by: self.stepped.emit(turn.asked.answers, by))
        answer.set_last(turn is self._turns[-1])
        self._column.insertWidget(place, question)
        self._column.insertWidget(place + 1, answer)
        return _Entry(turn, question, answer)

    def _drop(self, entry: _Entry) -> None:
        for widget in (entry.question, entry.answer):
            self._column.removeWidget(widget)
            widget.hide()
            widget.deleteLater()

    def _mark_last(self) -> None:
        for entry in self._entries:
            entry.answer.set_last(entry is self._entries[-1])

    def _on_range(self, _low: int, high: int) -> None:
        bar = self.verticalScrollBar()
        if self._follows:
            bar.setValue(high)
        elif self._earlier.isActive():  # what came above must not move what is read
            bar.setValue(bar.value() + high - self._high)
        self._high = high
        self._to_end.setVisible(not self._follows and high > 0)

    def _on_scrolled(self, value: int) -> None:
        self._follows = value >= self.verticalScrollBar().maximum() - NEAR_END_PX
        self._to_end.setVisible(not self._follows)
        if value < NEAR_START_PX and not self._earlier.isActive() and len(self._entries) < len(self._turns):
            self._want_earlier(PAGE_TURNS)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the button over the middle of the lower edge."""
        super().resizeEvent(event)
        self._to_end.move((self.viewport().width() - self._to_end.width()) // 2, self.height() - 46)
