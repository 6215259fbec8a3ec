"""What is new in a version, and the way to its download."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from app.look.theme import Palette
from app.look.typography import scaled
from app.look.widgets.flow_text import FlowText
from app.render.document_writer import DocumentWriter
from app.render.markdown import parse
from app.upkeep.feed import Release


class NewsDialog(QDialog):
    """Opens nothing by itself.

    Signals:
        download_chosen: the Release whose page is to be opened.
        skip_chosen: the Release that is not to be told of again.
    """

    download_chosen = Signal(object)
    skip_chosen = Signal(object)

    def __init__(self, release: Release, current: str, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("What Is New"))
        self._release = release
        title = QLabel(self.tr("Lookahead {0}").format(release.version))
        title.setProperty("role", "title")
        published = self.tr("published {0}").format(release.published) if release.published else ""
        mine = self.tr("You have {0}.").format(current) if current else ""
        under = QLabel(" · ".join(filter(None, (published, mine))), wordWrap=True)
        under.setProperty("role", "muted")
        for label in (title, under):
            label.setTextFormat(Qt.TextFormat.PlainText)
        self.notes = FlowText()
        self.notes.setAccessibleName(self.tr("What is new"))
        self.apply_palette(palette)
        scroll = QScrollArea(widgetResizable=True)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        page = QWidget(objectName="column")
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.notes)
        column.addStretch()
        scroll.setWidget(page)
        self.download = QPushButton(self.tr("Open the Download"), default=True)
        self.download.setProperty("role", "wide")
        self.skip = QPushButton(self.tr("Skip This Version"))
        self.later = QPushButton(self.tr("Later"))
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        for button in (self.skip, self.later):
            button.setProperty("role", "outline")
            button.setAutoDefault(False)
        buttons.addWidget(self.skip)
        buttons.addStretch()
        buttons.addWidget(self.later)
        buttons.addWidget(self.download)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 20, 24, 20)
        layout.setSpacing(8)
        layout.addWidget(title)
        layout.addWidget(under)
        layout.addWidget(scroll, 1)
        layout.addLayout(buttons)
        self.resize(scaled(560), scaled(420))
        self.download.clicked.connect(lambda: self._end(self.download_chosen))
        self.skip.clicked.connect(lambda: self._end(self.skip_chosen))
        self.later.clicked.connect(self.reject)

    def apply_palette(self, palette: Palette) -> None:
        """Write the notes in other colours. Like an answer, they load nothing and bring no markup of their own."""
        document = self.notes.document()
        document.clear()
        DocumentWriter(document, palette).write(parse(self._release.notes))

    def _end(self, chosen: Signal) -> None:
        chosen.emit(self._release)
        self.accept()
