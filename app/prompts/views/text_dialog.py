"""A text to look at: an attached file, or the prompt as the model reads it."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from app.look.typography import mono_font
from app.prompts.attached_file import AttachedFile
from app.prompts.views.chips import detail

SIZE = (720, 560)


class TextDialog(QDialog):
    """Shows a text whole, to be read, searched and copied, not changed."""

    def __init__(self, title: str, about: str, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(*SIZE)
        heading, details = QLabel(title), QLabel(about, wordWrap=True)
        for label in (heading, details):  # a file's name may look like markup
            label.setTextFormat(Qt.TextFormat.PlainText)
        heading.setProperty("role", "section")
        details.setProperty("role", "muted")
        self.field = QPlainTextEdit(text, readOnly=True)
        self.field.setObjectName("preview")
        self.field.setAccessibleName(title)
        self.field.setFont(mono_font())
        copy, close = QPushButton(self.tr("Copy")), QPushButton(self.tr("Close"), default=True)
        for button, slot in ((copy, self._copy), (close, self.accept)):
            button.setProperty("role", "outline")
            button.clicked.connect(slot)
        buttons = QHBoxLayout()
        buttons.addStretch()
        buttons.addWidget(copy)
        buttons.addWidget(close)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 24, 24, 16)
        layout.setSpacing(8)
        for widget in (heading, details, self.field):
            layout.addWidget(widget)
        layout.addLayout(buttons)
        close.setFocus()

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.field.toPlainText())


def file_dialog(file: AttachedFile, parent: QWidget) -> TextDialog:
    """A look into an attached file."""
    where = str(file.path) if file.path else ""
    about = " · ".join(filter(None, (where, detail(file), file.note)))
    return TextDialog(file.name, about, file.text, parent)
