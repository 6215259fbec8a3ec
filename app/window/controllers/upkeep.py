"""Where newer versions and reports meet a window: the Help menu, a quiet line, and what opens outside of Lookahead."""

from PySide6.QtCore import QObject, QUrl
from PySide6.QtGui import QDesktopServices

from app.first_run.views import FirstPage
from app.look.theme import Palette
from app.upkeep import Release, ReportFolder, UpdatesViewModel
from app.upkeep.views import NewsDialog, UpdateConsent, VersionNotice
from app.window.frame import MainWindow


class UpkeepController(QObject):
    """Belongs to one window; what it shows is shared by all."""

    def __init__(self, window: MainWindow, updates: UpdatesViewModel, reports: ReportFolder) -> None:
        super().__init__(window)
        self._window, self.updates, self.reports = window, updates, reports
        self._consents: list[UpdateConsent] = []
        self.notice = VersionNotice(window.theme.palette)
        window.add_notice(self.notice)
        menus = window.menus
        menus.add(
            menus.help,
            ("look-for-version", self.tr("Look for a Newer Version"), None, updates.ask),
            ("reports", self.tr("Show Reports"), None, self.show_reports),
        )
        updates.found.connect(self.notice.show_release)
        updates.told.connect(self.notice.tell)
        self.notice.news_chosen.connect(self.show_news)
        window.banner.remedy_chosen.connect(self._on_remedy)
        window.theme.changed.connect(self._apply_palette)
        if updates.release is not None:  # found before this window was opened
            self.notice.show_release(updates.release)

    def add_consent(self, page: FirstPage) -> None:
        """Ask on the first page."""
        consent = UpdateConsent(self.updates, self._window.theme.palette)
        self._consents.append(consent)
        page.add_closing(consent)

    def show_news(self, release: Release) -> None:
        """Tell what is new."""
        dialog = NewsDialog(release, self.updates.current, self._window.theme.palette, self._window)
        dialog.download_chosen.connect(self._open_download)
        dialog.skip_chosen.connect(self._skip)
        self._window.theme.changed.connect(dialog.apply_palette)
        dialog.open()

    def show_reports(self) -> None:
        """Open the folder of reports, which is made where there is none yet."""
        self.reports.path.mkdir(parents=True, exist_ok=True)
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.reports.path)))

    def _open_download(self, release: Release) -> None:
        QDesktopServices.openUrl(QUrl(release.page))

    def _skip(self, release: Release) -> None:
        self.updates.skip(release)
        self.notice.hide()

    def _on_remedy(self, remedy: str) -> None:
        if remedy == "report":
            self.show_reports()

    def _apply_palette(self, palette: Palette) -> None:
        for widget in (self.notice, *self._consents):
            widget.apply_palette(palette)
