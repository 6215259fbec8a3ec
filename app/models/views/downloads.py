"""The downloads: how far each is, how long it still takes, and what can be done about it."""

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QPushButton, QScrollArea, QVBoxLayout, QWidget

from app.engine.download_records import Download
from app.look.typography import scaled
from app.look.widgets.elided_label import ElidedLabel
from app.models.library import ModelsViewModel
from app.models.views.words import download_words, needs_token

ROWS_SHOWN = 3
STEPS = 1000  # of a progress bar


class DownloadRow(QWidget):
    """One download.

    Signals:
        token_wanted: the user has a token to enter.
    """

    token_wanted = Signal()

    def __init__(self, models: ModelsViewModel, download: Download, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._models, self.download = models, download
        self.name, self.words = ElidedLabel(), QLabel(wordWrap=True)
        self.bar = QProgressBar(textVisible=False, maximum=STEPS)
        self.buttons: dict[str, QPushButton] = {}
        self._build()
        self.show_download(download)

    def show_download(self, download: Download) -> None:
        """Show how it stands now."""
        self.download = download
        is_quiet = download.state in ("done", "cancelled", "queued")
        self.name.show_text(f"{download.repo_id} · {download_words(download)}" if is_quiet else download.repo_id)
        self.words.setVisible(not is_quiet)
        self.words.setText(download_words(download))
        self.words.setProperty("role", "wrong" if download.state == "failed" else "muted")
        self.words.style().polish(self.words)
        fraction = download.fraction
        is_vague = download.state in ("listing", "finishing")
        self.bar.setRange(0, 0 if is_vague else STEPS)
        self.bar.setValue(int(STEPS * (fraction or 0)))
        self.bar.setVisible(not is_quiet and download.state != "failed")
        self.bar.setAccessibleName(f"{download.repo_id}: {self.words.text()}")
        failed = download.state == "failed"
        shown = {
            "page": failed and bool(download.page),
            "token": failed and needs_token(download.kind),
            "pause": download.is_under_way and download.state != "finishing",
            "resume": download.state == "paused",
            "retry": failed,
            "cancel": (download.is_under_way and download.state != "finishing") or download.state == "paused",
            "dismiss": download.state in ("done", "failed", "cancelled"),
        }
        for key, is_shown in shown.items():
            self.buttons[key].setVisible(is_shown)

    def _build(self) -> None:
        self.name.setProperty("role", "name")
        for label in (self.name, self.words):
            label.setTextFormat(Qt.TextFormat.PlainText)  # what the Hub says may look like markup
        top = QHBoxLayout()
        top.setSpacing(6)
        top.addWidget(self.name, 1)
        client = self._models.client
        for key, text, slot in (
            ("page", self.tr("Open Its Page"), lambda: QDesktopServices.openUrl(QUrl(self.download.page))),
            ("token", self.tr("Enter Token…"), self.token_wanted.emit),
            ("retry", self.tr("Try Again"), lambda: client.download(self.download.repo_id)),
            ("resume", self.tr("Resume"), lambda: client.change_download(self.download.repo_id, "resume")),
            ("pause", self.tr("Pause"), lambda: client.change_download(self.download.repo_id, "pause")),
            ("cancel", self.tr("Cancel"), lambda: client.change_download(self.download.repo_id, "cancel")),
            ("dismiss", self.tr("Dismiss"), lambda: client.forget_download(self.download.repo_id)),
        ):
            button = QPushButton(text, autoDefault=False)
            button.setProperty("role", "outline")
            button.setAccessibleName(f"{text}: {self.download.repo_id}")
            button.clicked.connect(slot)
            self.buttons[key] = button
            top.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 8, 4)
        layout.setSpacing(4)
        layout.addLayout(top)
        layout.addWidget(self.words)
        layout.addWidget(self.bar)


class DownloadsView(QFrame):
    """A row for each download, the newest first; hidden where there is none.

    Signals:
        token_wanted: the user has a token to enter.
    """

    token_wanted = Signal()

    def __init__(self, models: ModelsViewModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._models = models
        self.rows: dict[str, DownloadRow] = {}
        self._column = QVBoxLayout()
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(2)
        inside = QWidget(objectName="column")
        inside.setLayout(self._column)
        self._area = QScrollArea(widgetResizable=True)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setWidget(inside)
        title = QLabel(self.tr("Downloads"))
        title.setProperty("role", "section")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(QFrame(objectName="separator"))
        layout.addSpacing(4)
        layout.addWidget(title)
        layout.addWidget(self._area)
        models.downloads_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show how all stand. Rows stay where they are, so that a button does not go from under the pointer."""
        downloads = {one.repo_id: one for one in self._models.downloads.downloads}
        for name in [name for name in self.rows if name not in downloads]:
            self.rows.pop(name).deleteLater()
        for name, download in downloads.items():
            if name in self.rows:
                self.rows[name].show_download(download)
            else:
                row = self.rows[name] = DownloadRow(self._models, download)
                row.token_wanted.connect(self.token_wanted)
                self._column.insertWidget(0, row)
        self.setVisible(bool(self.rows))
        self.fit()

    def fit(self) -> None:
        """Be as tall as the rows, up to a few of them; from there on scroll."""
        width = self._area.viewport().width()
        heights = [max(row.heightForWidth(width), row.minimumSizeHint().height()) for row in self.rows.values()]
        tallest = sum(sorted(heights, reverse=True)[:ROWS_SHOWN]) + 2 * ROWS_SHOWN
        self._area.setFixedHeight(min(sum(heights) + 2 * len(heights), tallest, scaled(240)))
