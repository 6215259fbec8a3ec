"""A block of code: its language, a copy button, colours, and a scroll bar of its own for long lines."""

import math
from itertools import groupby
from operator import itemgetter

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QColor, QGuiApplication, QTextCharFormat, QTextCursor, QTextOption, QWheelEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QTextEdit, QVBoxLayout, QWidget

from app.look.theme import Palette
from app.look.typography import mono_font
from app.render.code import highlight


class CodeBlock(QFrame):
    """Shows one fenced block; `set_code` may be called again while it grows, and `keep` lets it grow from there."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("codeBlock")
        self._code = ""
        self._kept = ""
        self._kept_end = 0
        self._language = QLabel()
        self._language.setProperty("role", "muted")
        self._copy = QPushButton(self.tr("Copy"))
        self._copy.setProperty("role", "chip")
        self._copy.setAccessibleName(self.tr("Copy code"))
        self._copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.code))
        self._text = _CodeText()
        header = QHBoxLayout()
        header.setContentsMargins(14, 5, 6, 0)
        header.addWidget(self._language)
        header.addStretch()
        header.addWidget(self._copy)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(1, 1, 1, 8)
        layout.setSpacing(0)
        layout.addLayout(header)
        layout.addWidget(self._text)

    @property
    def code(self) -> str:
        """What shows, without its final line break."""
        return self._code.rstrip("\n")

    @property
    def focus_chain(self) -> list[QWidget]:
        """What Tab reaches."""
        return [self._copy, self._text]

    def set_code(self, code: str, language: str, palette: Palette) -> None:
        """Show `code` behind what is kept, its final line break left out."""
        self._code = self._kept + code
        self._language.setText(language or self.tr("text"))
        selected, place = self._text.textCursor(), self._text.horizontalScrollBar().value()
        anchor, position = selected.anchor(), selected.position()
        cursor = QTextCursor(self._text.document())
        cursor.beginEditBlock()
        cursor.setPosition(self._kept_end)
        cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
        cursor.removeSelectedText()
        shown = self.code
        spans = highlight(shown[len(self._kept.rstrip("\n")) :], language, palette)
        style = QTextCharFormat()
        style.setFont(mono_font())
        for colour, run in groupby(spans, key=itemgetter(1)):
            style.setForeground(QColor(colour))
            cursor.insertText("".join(text for text, _ in run), style)
        cursor.endEditBlock()
        self._text.fit()
        self._text.select(anchor, position)  # they would go along with what streams in, and the view with them
        self._text.horizontalScrollBar().setValue(place)

    def keep(self) -> None:
        """What shows will not change: the next call of `set_code` adds to it."""
        self._kept = self._code
        self._kept_end = max(0, self._text.document().characterCount() - 1)


class _CodeText(QTextEdit):
    def __init__(self) -> None:
        super().__init__()
        self.setReadOnly(True)
        self.setUndoRedoEnabled(False)
        self.setAccessibleName(self.tr("Code"))
        self.setTabChangesFocus(True)
        self.setFont(mono_font())
        self.setWordWrapMode(QTextOption.WrapMode.NoWrap)
        self.setLineWrapMode(QTextEdit.LineWrapMode.NoWrap)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.document().setDocumentMargin(0)
        self.setViewportMargins(14, 2, 14, 2)
        self.horizontalScrollBar().installEventFilter(self)

    def fit(self) -> None:
        """Take the height of the text, and of the scroll bar while it shows."""
        bar = self.horizontalScrollBar().sizeHint().height() if self.horizontalScrollBar().isVisible() else 0
        self.setFixedHeight(math.ceil(self.document().size().height()) + 6 + bar)

    def select(self, anchor: int, position: int) -> None:
        """Select what was selected before the text was written anew, as far as it is there."""
        end, cursor = self.document().characterCount() - 1, self.textCursor()
        cursor.setPosition(min(anchor, end))
        cursor.setPosition(min(position, end), QTextCursor.MoveMode.KeepAnchor)
        self.setTextCursor(cursor)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Refit when the scroll bar comes or goes."""
        if event.type() in (QEvent.Type.Show, QEvent.Type.Hide):
            self.fit()
        return super().eventFilter(watched, event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Sideways scrolls the code; up and down is left to the column."""
        if abs(event.angleDelta().x()) > abs(event.angleDelta().y()):
            super().wheelEvent(event)
        else:
            event.ignore()
