"""The field in which one writes: it grows, Enter sends, up brings back; files and long pastes go elsewhere."""

from PySide6.QtCore import QEvent, QMimeData, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent, QFocusEvent, QKeyEvent, QTextCursor
from PySide6.QtWidgets import QFrame, QPlainTextEdit, QWidget

from app.look.widgets.drop_target import local_paths
from app.prompts.attached_file import is_long_paste
from app.prompts.history import ComposerHistory

MAX_LINES = 9
MARGIN_PX = 4


class ComposerField(QPlainTextEdit):
    """A plain text field.

    Signals:
        enter_pressed: Enter without Shift.
        paths_given: the Paths of dropped or pasted files.
        long_text_pasted: a paste that is better attached.
        picture_pasted: a picture, of which nothing can be inserted.
        focus_changed: whether the field has it.
        hovered_with_files: whether something that would be taken is held over the field.
    """

    enter_pressed = Signal()
    paths_given = Signal(object)
    long_text_pasted = Signal(str)
    picture_pasted = Signal()
    focus_changed = Signal(bool)
    hovered_with_files = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.history = ComposerHistory()
        self.setPlaceholderText(self.tr("Ask something"))
        self.setAccessibleName(self.tr("Message"))
        keys = self.tr("Enter sends, Shift-Enter breaks the line, up brings back what was sent.")
        files = self.tr("Files can be dropped here.")
        self.setAccessibleDescription(f"{keys} {files}")
        self.setTabChangesFocus(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.document().setDocumentMargin(MARGIN_PX)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.document().documentLayout().documentSizeChanged.connect(self.fit)
        self.fit()

    def fit(self) -> None:
        """Be as high as the text, up to `MAX_LINES`; from there on scroll."""
        num_lines = max(1, int(self.document().size().height()))
        shown = min(num_lines, MAX_LINES)
        self.setFixedHeight(max(32, shown * self.fontMetrics().lineSpacing() + 2 * MARGIN_PX + 2))
        policies = Qt.ScrollBarPolicy
        is_full = num_lines > MAX_LINES
        self.setVerticalScrollBarPolicy(policies.ScrollBarAsNeeded if is_full else policies.ScrollBarAlwaysOff)

    def _recall(self, event: QKeyEvent) -> bool:
        """Whether up or down meant the history: it does in an empty field and in a text that came from it."""
        text = self.toPlainText()
        if event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier:
            return False
        if text and not self.history.is_shown(text):
            return False
        found = self.history.older(text) if event.key() == Qt.Key.Key_Up else self.history.newer(text)
        if found is not None:
            self.setPlainText(found)
            self.moveCursor(QTextCursor.MoveOperation.End)
        return found is not None

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter sends; with Shift it breaks the line. An input method's own Enter never arrives here."""
        is_enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if is_enter and not event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.enter_pressed.emit()
        elif event.key() not in (Qt.Key.Key_Up, Qt.Key.Key_Down) or not self._recall(event):
            super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Letters of another size make lines of another height."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self.fit()

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Tell of the focus."""
        super().focusInEvent(event)
        self.focus_changed.emit(True)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Tell of its loss."""
        super().focusOutEvent(event)
        self.focus_changed.emit(False)

    def canInsertFromMimeData(self, source: QMimeData) -> bool:
        """Text and files; pictures, to say that they are not."""
        return source.hasUrls() or source.hasImage() or super().canInsertFromMimeData(source)

    def insertFromMimeData(self, source: QMimeData) -> None:
        """Files and long texts are attached, what is left is inserted."""
        if paths := local_paths(source):
            self.paths_given.emit(paths)
        elif source.hasImage() and not source.text():
            self.picture_pasted.emit()
        elif is_long_paste(text := source.text()):
            self.long_text_pasted.emit(text)
        else:
            self.insertPlainText(text)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Show that it would be taken."""
        super().dragEnterEvent(event)
        self.hovered_with_files.emit(event.isAccepted())

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        """Take the mark off."""
        super().dragLeaveEvent(event)
        self.hovered_with_files.emit(False)

    def dropEvent(self, event: QDropEvent) -> None:
        """Take it."""
        super().dropEvent(event)
        self.hovered_with_files.emit(False)
