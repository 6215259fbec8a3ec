"""A question, as a bubble on the right that can be asked in other words."""

import math
from collections.abc import Iterator

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent, QResizeEvent, QTextDocument, QTextOption
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPlainTextEdit, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from app.chat.views.version_stepper import VersionStepper
from app.look import icons
from app.look.theme import Palette
from app.look.typography import LINE_PX, scaled
from app.store import Turn

PADDING_PX, PADDING_ABOVE_PX = 15, 9  # as the style sheet has them
SLACK_PX = 2  # a label wraps a hair earlier than its font metrics say
EDITOR_LINES = 8
LONG_WORD, PIECE = 24, 8
_ZERO_WIDTH = "\u200b"


class QuestionView(QWidget):
    """Plain text, selectable, at most four fifths of the column wide.

    Signals:
        edited: other words to ask in place of these.
        stepped: the wording this many places further is wanted.
    """

    edited = Signal(str)
    stepped = Signal(int)

    def __init__(self, turn: Turn, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._turn = turn
        self._label = self._bubble(turn.question)
        self._names = QLabel("  ".join(f"▤ {one.name}" for one in turn.asked.attachments))
        self._names.setProperty("role", "muted")
        self._names.setVisible(bool(turn.asked.attachments))
        self.stepper = VersionStepper(self.tr("wording"), palette)
        self.edit_button = self._tool(self.tr("Edit and ask again"))
        self.copy_button = self._tool(self.tr("Copy question"))
        self._editor: _Editor | None = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(4)
        bubble = QHBoxLayout()
        bubble.addStretch(1)
        bubble.addWidget(self._label, 0)
        self._layout.addLayout(bubble)
        self._tools = QWidget()
        tools = QHBoxLayout(self._tools)
        tools.setContentsMargins(0, 0, 0, 0)
        tools.setSpacing(2)
        tools.addStretch()
        for widget in (self._names, self.stepper, self.edit_button, self.copy_button):
            tools.addWidget(widget)
        self._layout.addWidget(self._tools)
        self.edit_button.clicked.connect(self.begin_edit)
        self.copy_button.clicked.connect(lambda: QGuiApplication.clipboard().setText(turn.question))
        self.stepper.stepped.connect(self.stepped)
        self.apply_palette(palette)
        self.show_versions(is_enabled=False)

    @property
    def focus_chain(self) -> list[QWidget]:
        """What Tab reaches."""
        return [self.stepper.before, self.stepper.after, self.edit_button, self.copy_button]

    def show_versions(self, *, is_enabled: bool) -> None:
        """Tell which wording shows, and whether others can be shown or asked now."""
        self.stepper.show_versions(self._turn.siblings, is_enabled=is_enabled)
        self.edit_button.setEnabled(is_enabled)

    def apply_palette(self, palette: Palette) -> None:
        """Draw the icons in the palette's colours."""
        self.stepper.apply_palette(palette)
        self.edit_button.setIcon(icons.icon("edit", palette.muted, palette.border))
        self.copy_button.setIcon(icons.icon("copy", palette.muted))
        self._fit()

    def begin_edit(self) -> None:
        """Show a field with the words in place of the bubble."""
        if self._editor is None:
            self._editor = _Editor(self._turn.question)
            self._editor.done.connect(self._on_edited)
            self._editor.cancelled.connect(self.end_edit)
            self._layout.insertWidget(1, self._editor)
        for part in (self._label, self._tools):
            part.hide()
        self._editor.show()
        self._editor.field.setFocus()

    def end_edit(self) -> None:
        """Show the bubble again."""
        if self._editor is not None:
            self._layout.removeWidget(self._editor)
            self._editor.hide()
            self._editor.deleteLater()
            self._editor = None
        for part in (self._label, self._tools):
            part.show()
        self.edit_button.setFocus()

    def _on_edited(self, text: str) -> None:
        self.end_edit()
        if text.strip() and text.strip() != self._turn.question:
            self.edited.emit(text)

    def _bubble(self, text: str) -> QLabel:
        label = QLabel(_breakable(text))
        label.setObjectName("question")
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setWordWrap(True)
        label.setIndent(0)
        label.setAccessibleName(self.tr("Question"))
        flags = Qt.TextInteractionFlag
        label.setTextInteractionFlags(flags.TextSelectableByMouse | flags.TextSelectableByKeyboard)
        label.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        label.setVisible(bool(text))
        return label

    def _tool(self, name: str) -> QPushButton:
        button = QPushButton()
        button.setProperty("role", "tiny")
        button.setAccessibleName(name)
        button.setToolTip(name)
        button.setFixedSize(24, 22)
        button.setIconSize(QSize(13, 13))
        return button

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the bubble."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Make the bubble as wide as its text, up to four fifths, and as high."""
        self._label.ensurePolished()
        text = QTextDocument(self._label.text())
        text.setDocumentMargin(0)
        text.setDefaultFont(self._label.font())
        text.setDefaultTextOption(QTextOption(wrapMode=QTextOption.WrapMode.WordWrap))
        text.setTextWidth(max(1, self.width() * 4 // 5 - 2 * PADDING_PX))
        # A label's own height for a width is that of an earlier width, once it had one.
        self._label.setFixedWidth(math.ceil(text.idealWidth()) + 2 * PADDING_PX + SLACK_PX)
        self._label.setFixedHeight(math.ceil(text.size().height()) + 2 * PADDING_ABOVE_PX)


class _Editor(QWidget):
    """A field with the question's words, and what to do with them.

    Signals:
        done: the words to ask.
        cancelled: nothing is to be asked.
    """

    done = Signal(str)
    cancelled = Signal()

    def __init__(self, text: str) -> None:
        super().__init__()
        self.field = QPlainTextEdit(text)
        self.field.setObjectName("editor")
        self.field.setAccessibleName(self.tr("Other words for the question"))
        self.field.setTabChangesFocus(True)
        lines = min(EDITOR_LINES, max(2, text.count("\n") + 1 + len(text) // 80))
        self.field.setFixedHeight(lines * scaled(LINE_PX) + 24)
        self._ask, self._cancel = QPushButton(self.tr("Ask")), QPushButton(self.tr("Cancel"))
        self._ask.setProperty("role", "wide")
        self._cancel.setProperty("role", "outline")
        row = QHBoxLayout()
        row.addStretch()
        row.addWidget(self._cancel)
        row.addWidget(self._ask)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.field)
        layout.addLayout(row)
        self._ask.clicked.connect(lambda: self.done.emit(self.field.toPlainText()))
        self._cancel.clicked.connect(self.cancelled)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape leaves the words as they were; Enter with the command key asks."""
        if event.key() == Qt.Key.Key_Escape:
            self.cancelled.emit()
        elif event.key() == Qt.Key.Key_Return and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.done.emit(self.field.toPlainText())
        else:
            super().keyPressEvent(event)


def _breakable(text: str) -> str:
    """Words too long for any line can break: they get a zero-width space every few characters."""
    return " ".join(word if len(word) <= LONG_WORD else _ZERO_WIDTH.join(_pieces(word)) for word in text.split(" "))


def _pieces(word: str) -> Iterator[str]:
    return (word[start : start + PIECE] for start in range(0, len(word), PIECE))
