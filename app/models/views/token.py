"""Asks for an access token of the Hub. The engine keeps it in the keychain; the window keeps nothing of it."""

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from app.engine.model_records import Refusal
from app.engine.models_client import ModelsClient
from app.look.typography import scaled

TOKENS_PAGE = "https://huggingface.co/settings/tokens"


class TokenDialog(QDialog):
    """Closes when the token is kept, and says why it was not."""

    def __init__(self, client: ModelsClient, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Access Token"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._client = client
        self.field = QLineEdit(echoMode=QLineEdit.EchoMode.Password, placeholderText="hf_…")
        self.field.setAccessibleName(self.tr("Access token"))
        self.wrong = QLabel(wordWrap=True)
        self.wrong.setProperty("role", "wrong")
        self.wrong.setTextFormat(Qt.TextFormat.PlainText)
        self.keep_button = QPushButton(self.tr("Keep It"), default=True)
        self._build()
        client.answered.connect(self._on_answer)
        client.refused.connect(self._on_refusal)

    def _build(self) -> None:
        title = QLabel(self.tr("A token of the model hub"))
        title.setProperty("role", "section")
        about = QLabel(wordWrap=True)
        about.setProperty("role", "muted")
        about.setText(
            self.tr("Some models ask who you are. Make a token that may read at the hub, and paste it here.")
            + " "
            + self.tr("It is kept in the system's keychain and goes to the hub alone.")
        )
        page, cancel = QPushButton(self.tr("Where to Make One")), QPushButton(self.tr("Cancel"))
        page.clicked.connect(lambda: QDesktopServices.openUrl(QUrl(TOKENS_PAGE)))
        cancel.clicked.connect(self.reject)
        self.keep_button.clicked.connect(self._keep)
        self.keep_button.setEnabled(False)
        self.field.textChanged.connect(lambda text: self.keep_button.setEnabled(bool(text.strip())))
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(page)
        row.addStretch()
        row.addWidget(cancel)
        row.addWidget(self.keep_button)
        for button in (page, cancel, self.keep_button):
            button.setProperty("role", "outline")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 24, 24, 16)
        layout.setSpacing(8)
        for widget in (title, about, self.field, self.wrong):
            layout.addWidget(widget)
        layout.addSpacing(8)
        layout.addLayout(row)
        self.wrong.hide()
        self.setMinimumWidth(scaled(460))
        self.field.setFocus()

    def _keep(self) -> None:
        self.wrong.hide()
        self._client.keep_token(self.field.text().strip())

    def _on_answer(self, task: str) -> None:
        if task == "token":
            self.accept()

    def _on_refusal(self, task: str, subject: str, refusal: Refusal) -> None:
        if task == "token":
            self.wrong.setText(refusal.message)
            self.wrong.show()
            self.field.setFocus()
