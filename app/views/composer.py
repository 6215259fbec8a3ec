"""Where one writes: grows with its text, sends with Enter, takes dropped text files."""

from pathlib import Path

from PySide6.QtCore import QMimeData, QSize, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent, QFocusEvent, QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPlainTextEdit, QPushButton, QWidget

from app import icons
from app.problem import Problem
from app.theme import Palette

MAX_LINES = 9
MAX_FILE_BYTES = 256 * 1024


class Composer(QFrame):
    """The text field and its one button, which sends or stops.

    Signals:
        submitted: the text, when it is to be sent.
        stop_chosen: the stop button was pressed.
        text_changed: after every change of the text.
        problem_raised: a Problem about a dropped file.
    """

    submitted = Signal(str)
    stop_chosen = Signal()
    text_changed = Signal()
    problem_raised = Signal(object)

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("composer")
        self.field = _Field(self)
        self.button = QPushButton()
        self.button.setProperty("role", "primary")
        self.button.setFixedSize(32, 32)
        self.button.setIconSize(QSize(20, 20))
        self.button.clicked.connect(self._on_button)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(16, 8, 8, 8)
        layout.setSpacing(8)
        layout.addWidget(self.field, 1)
        layout.addWidget(self.button, 0, Qt.AlignmentFlag.AlignBottom)
        self._is_busy = False
        self._palette = palette
        self.field.textChanged.connect(self.text_changed)
        self.set_state(can_send=False, is_busy=False)

    @property
    def text(self) -> str:
        """What is written."""
        return self.field.toPlainText()

    def set_text(self, text: str) -> None:
        """Replace what is written."""
        self.field.setPlainText(text)

    def set_state(self, *, can_send: bool, is_busy: bool) -> None:
        """Whether the button sends or stops, and whether it can."""
        self._is_busy = is_busy
        self.button.setEnabled(is_busy or can_send)
        name = "Stop (Esc)" if is_busy else "Send (Enter)"
        self.button.setAccessibleName(name)
        self.button.setToolTip(name)
        self._draw()

    def wear(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette
        self._draw()

    def submit(self) -> None:
        """Hand over the text; whoever takes it empties the field."""
        if self.button.isEnabled() and not self._is_busy:
            self.submitted.emit(self.text)

    def mark(self, name: str, is_on: bool) -> None:
        """Show that the field has the focus, or that a file would be taken."""
        self.setProperty(name, "true" if is_on else "false")
        self.style().unpolish(self)
        self.style().polish(self)

    def _draw(self) -> None:
        name = "stop" if self._is_busy else "send"
        self.button.setIcon(icons.icon(name, self._palette.on_accent, self._palette.muted))

    def _on_button(self) -> None:
        if self._is_busy:
            self.stop_chosen.emit()
        else:
            self.submit()


class _Field(QPlainTextEdit):
    def __init__(self, composer: Composer) -> None:
        super().__init__(composer)
        self._composer = composer
        self.setPlaceholderText("Ask something")
        self.setAccessibleName("Message")
        self.setAccessibleDescription("Enter sends, Shift-Enter breaks the line. A text file can be dropped here.")
        self.setTabChangesFocus(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.document().setDocumentMargin(4)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.document().documentLayout().documentSizeChanged.connect(self._fit)
        self._fit()

    def _fit(self) -> None:
        num_lines = max(1, int(self.document().size().height()))
        shown = min(num_lines, MAX_LINES)
        self.setFixedHeight(max(32, shown * self.fontMetrics().lineSpacing() + 10))
        policies = Qt.ScrollBarPolicy
        is_full = num_lines > MAX_LINES
        self.setVerticalScrollBarPolicy(policies.ScrollBarAsNeeded if is_full else policies.ScrollBarAlwaysOff)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter sends; with Shift it breaks the line. An input method's own Enter never arrives here."""
        is_enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if is_enter and not event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self._composer.submit()
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Show the focus on the frame."""
        super().focusInEvent(event)
        self._composer.mark("focused", True)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Take the mark off the frame."""
        super().focusOutEvent(event)
        self._composer.mark("focused", False)

    def canInsertFromMimeData(self, source: QMimeData) -> bool:
        """Text and files."""
        return source.hasUrls() or super().canInsertFromMimeData(source)

    def insertFromMimeData(self, source: QMimeData) -> None:
        """A dropped or pasted file brings its text."""
        paths = [Path(url.toLocalFile()) for url in source.urls() if url.isLocalFile()]
        if not paths:
            self.insertPlainText(source.text())
        for path in paths:
            text = read_text_file(path)
            if isinstance(text, Problem):
                self._composer.problem_raised.emit(text)
            else:
                self.insertPlainText(text)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Show that it would be taken."""
        super().dragEnterEvent(event)
        self._composer.mark("dropping", event.isAccepted())

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        """Take the mark off."""
        super().dragLeaveEvent(event)
        self._composer.mark("dropping", False)

    def dropEvent(self, event: QDropEvent) -> None:
        """Take it."""
        super().dropEvent(event)
        self._composer.mark("dropping", False)


def read_text_file(path: Path) -> str | Problem:
    """The text of a file, or the Problem why there is none."""
    try:
        if (size := path.stat().st_size) > MAX_FILE_BYTES:
            advice = f"It has {size // 1024:,} KB; at most {MAX_FILE_BYTES // 1024:,} KB are taken."
            return Problem(f"“{path.name}” is too large to insert.", advice)
        data = path.read_bytes()
        if b"\0" in data:
            return Problem(f"“{path.name}” is not a text file.", "Plain text files can be dropped here.")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Problem(f"“{path.name}” is not a UTF-8 text file.", "Save it as UTF-8 and drop it again.", str(error))
    except OSError as error:
        return Problem(f"“{path.name}” could not be read.", "", str(error))
