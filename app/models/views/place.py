"""Where the engine keeps models, and which hub it asks: both can be changed here."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QFileDialog, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from app.engine.model_records import ModelPlace, Refusal
from app.engine.models_client import ModelsClient
from app.look.typography import scaled
from app.models.sizes import format_bytes

OWN_HUB = "https://huggingface.co"
TASKS = ("place", "move", "mirror")


class PlaceDialog(QDialog):
    """Stays open after a change, and says what came of it."""

    def __init__(self, client: ModelsClient, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Folder and Hub"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._client = client
        self.folder, self.mirror = QLineEdit(), QLineEdit(placeholderText=OWN_HUB)
        self.now, self.told = QLabel(wordWrap=True), QLabel(wordWrap=True)
        self.choose_button = QPushButton(self.tr("Choose…"), autoDefault=False)
        self.move_button = QPushButton(self.tr("Move There"), autoDefault=False)
        self.mirror_button = QPushButton(self.tr("Use It"), autoDefault=False)
        self.close_button = QPushButton(self.tr("Close"), autoDefault=False)
        self._build()
        self._connect()
        client.fetch_place()

    def _build(self) -> None:
        self.folder.setAccessibleName(self.tr("New folder for models"))
        self.folder.setPlaceholderText(self.tr("A new or empty folder"))
        self.mirror.setAccessibleName(self.tr("Address of the hub"))
        for button in (self.choose_button, self.move_button, self.mirror_button, self.close_button):
            button.setProperty("role", "outline")
        for label in (self.now, self.told):
            label.setTextFormat(Qt.TextFormat.PlainText)
        self.now.setProperty("role", "muted")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 24, 24, 16)
        layout.setSpacing(8)
        layout.addWidget(_section(self.tr("Where models lie")))
        layout.addWidget(self.now)
        about = self.tr("All are moved together. A link stays behind, so that other programs find them as before.")
        layout.addWidget(_muted(about))
        layout.addLayout(_row(self.folder, self.choose_button, self.move_button))
        layout.addSpacing(12)
        layout.addWidget(_section(self.tr("The hub they come from")))
        layout.addWidget(_muted(self.tr("The address of a mirror, for networks that do not reach the hub itself.")))
        layout.addLayout(_row(self.mirror, self.mirror_button))
        layout.addSpacing(8)
        layout.addLayout(_row(self.told, self.close_button))
        self.move_button.setEnabled(False)
        self.setMinimumWidth(scaled(540))

    def _connect(self) -> None:
        self.folder.textChanged.connect(lambda text: self.move_button.setEnabled(bool(text.strip())))
        self.choose_button.clicked.connect(self._choose)
        self.move_button.clicked.connect(self._move)
        self.mirror_button.clicked.connect(self._use_mirror)
        self.mirror.returnPressed.connect(self._use_mirror)
        self.close_button.clicked.connect(self.accept)
        self._client.answered.connect(self._on_answer)
        self._client.refused.connect(self._on_refusal)

    def _choose(self) -> None:
        name = QFileDialog.getExistingDirectory(self, self.tr("New Folder for Models"))
        if name:
            self.folder.setText(name)

    def _move(self) -> None:
        self._tell(self.tr("Moving…"))
        self.move_button.setEnabled(False)
        self._client.move_cache(self.folder.text().strip())

    def _use_mirror(self) -> None:
        self._client.set_mirror(self.mirror.text().strip())

    def _tell(self, words: str, role: str = "muted") -> None:
        self.told.setProperty("role", role)
        self.told.style().polish(self.told)
        self.told.setText(words)

    def _show(self, place: ModelPlace) -> None:
        moved = place.lies_in != place.folder
        self.now.setText(self.tr("{}, found at {}").format(place.lies_in, place.folder) if moved else place.folder)
        self.mirror.setText("" if place.endpoint == OWN_HUB else place.endpoint)

    def _on_answer(self, task: str, subject: str, value: object) -> None:
        if task not in TASKS or not isinstance(value, ModelPlace):
            return
        self._show(value)
        if task == "move":
            self.folder.clear()
            self._tell(self.tr("Moved: {}.").format(format_bytes(value.moved_bytes)))
            self._client.fetch_installed()
        elif task == "mirror":
            wish = subject.rstrip("/") or OWN_HUB
            here = self.tr("{} is asked from now on.")
            stuck = self.tr("It is kept, but HF_ENDPOINT is set where the engine runs and goes before it: {} is asked.")
            self._tell((here if value.endpoint == wish else stuck).format(value.endpoint))

    def _on_refusal(self, task: str, subject: str, refusal: Refusal) -> None:
        if task in TASKS:
            self._tell(refusal.message, "wrong")
            self.move_button.setEnabled(bool(self.folder.text().strip()))


def _section(text: str) -> QLabel:
    label = QLabel(text)
    label.setProperty("role", "section")
    return label


def _muted(text: str) -> QLabel:
    label = QLabel(text, wordWrap=True)
    label.setProperty("role", "muted")
    return label


def _row(first: QWidget, *others: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(8)
    row.addWidget(first, 1)
    for widget in others:
        row.addWidget(widget)
    return row
