"""Fetches the feed: one small file, with nothing said about who asks."""

from PySide6.QtCore import QObject, QUrl, Signal
from PySide6.QtNetwork import QNetworkAccessManager, QNetworkReply, QNetworkRequest

from app.upkeep.feed import MOST_BYTES

TIMEOUT_MS = 15_000


class FeedFetcher(QObject):
    """One fetch at a time; the network is made with the first.

    Signals:
        fetched: the bytes that came.
        failed: why none came, in the system's words.
    """

    fetched = Signal(bytes)
    failed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._network: QNetworkAccessManager | None = None
        self._reply: QNetworkReply | None = None

    def fetch(self, address: str) -> None:
        """Begin; does nothing while one is under way."""
        if self._reply is not None:
            return
        if self._network is None:
            self._network = QNetworkAccessManager(self)
            self._network.finished.connect(self._on_finished)
        request = QNetworkRequest(QUrl(address))
        request.setTransferTimeout(TIMEOUT_MS)
        request.setHeader(QNetworkRequest.KnownHeaders.UserAgentHeader, "Lookahead")
        request.setAttribute(
            QNetworkRequest.Attribute.RedirectPolicyAttribute, QNetworkRequest.RedirectPolicy.NoLessSafeRedirectPolicy
        )
        for unwanted in (QNetworkRequest.Attribute.CookieSaveControlAttribute,
                         QNetworkRequest.Attribute.CookieLoadControlAttribute):  # fmt: skip
            request.setAttribute(unwanted, QNetworkRequest.LoadControl.Manual)
        self._reply = self._network.get(request)
        self._reply.downloadProgress.connect(self._on_progress)

    def _on_progress(self, received: int, total: int) -> None:
        if max(received, total) > MOST_BYTES and self._reply is not None:
            self._reply.abort()

    def _on_finished(self, reply: QNetworkReply) -> None:
        self._reply = None
        reply.deleteLater()
        if reply.error() == QNetworkReply.NetworkError.NoError:
            self.fetched.emit(bytes(reply.readAll().data()))
        else:
            self.failed.emit(reply.errorString())
