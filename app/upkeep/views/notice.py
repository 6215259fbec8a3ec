"""One quiet line above the conversation: there is a newer version, or what came of looking for one."""

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QWidget

from app.look import icons
from app.look.theme import Palette
from app.upkeep.feed import Release


class VersionNotice(QFrame):
    """Hidden until there is something to say; stays until it is closed.

    Signals:
        news_chosen: the Release of which somebody wants to know what is new.
    """

    news_chosen = Signal(object)

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent, objectName="banner")
        self._release: Release | None = None
        self.text = QLabel(wordWrap=True)
        self.text.setProperty("role", "advice")
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.news = QPushButton(self.tr("What Is New…"))
        self.news.setProperty("role", "outline")
        self.close_button = QPushButton()
        self.close_button.setAccessibleName(self.tr("Close the line about versions"))
        self.close_button.setFixedSize(28, 28)
        self.close_button.setIconSize(QSize(16, 16))
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 8, 8, 8)
        row.setSpacing(8)
        row.addWidget(self.text, 1)
        row.addWidget(self.news)
        row.addWidget(self.close_button)
        self.news.clicked.connect(lambda: self.news_chosen.emit(self._release))
        self.close_button.clicked.connect(self.hide)
        self.apply_palette(palette)
        self.hide()

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self.close_button.setIcon(icons.icon("close", palette.text))

    def show_release(self, release: Release) -> None:
        """Tell of a newer version."""
        self._release = release
        self._show(self.tr("Lookahead {0} is out.").format(release.version))
        self.news.show()

    def tell(self, words: str) -> None:
        """Tell what came of looking."""
        self._release = None
        self._show(words)
        self.news.hide()

    def _show(self, words: str) -> None:
        self.text.setText(words)
        self.setAccessibleName(words)
        self.show()
