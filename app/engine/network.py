"""The window's way to the engine: every request carries its key, and none goes through a proxy."""

import json
from dataclasses import dataclass, field
from typing import Any

from PySide6.QtCore import QByteArray, QObject, QUrl
from PySide6.QtNetwork import QNetworkAccessManager, QNetworkProxy, QNetworkReply, QNetworkRequest


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """Where the engine listens, and the token it wants. The token never shows in a repr, an argv or a log."""

    url: str
    api_key: str = field(repr=False)


class EngineNetwork(QNetworkAccessManager):
    """Connections to one engine, wherever it listens now.

    Connect `finished` of the network, or a bound method to a reply's: a closure that holds its reply outlives the
    network it came from, and crashes.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        # A proxy of the system's would be asked for loopback addresses, and would see the key.
        self.setProxy(QNetworkProxy(QNetworkProxy.ProxyType.NoProxy))
        self.address: EngineAddress | None = None

    def request(self, path: str, timeout_ms: int = 0) -> QNetworkRequest:
        """A request for `path`, percent-encoded where that is needed; silence of `timeout_ms` ends it, 0 waits.

        Raises RuntimeError while there is no address.
        """
        if self.address is None:
            raise RuntimeError("The engine has no address yet: set EngineNetwork.address first.")
        request = QNetworkRequest(QUrl.fromEncoded(QByteArray(f"{self.address.url}{path}".encode())))
        request.setRawHeader(QByteArray(b"Authorization"), QByteArray(f"Bearer {self.address.api_key}".encode()))
        request.setTransferTimeout(timeout_ms)
        return request

    def send_json(self, path: str, body: object, *, method: str = "POST", timeout_ms: int = 0) -> QNetworkReply:
        """Send `body` as JSON to `path`."""
        request = self.request(path, timeout_ms)
        request.setHeader(QNetworkRequest.KnownHeaders.ContentTypeHeader, "application/json")
        return self.sendCustomRequest(request, QByteArray(method.encode()), QByteArray(json.dumps(body).encode()))

    def is_of_this_engine(self, reply: QNetworkReply) -> bool:
        """Whether a reply comes from where requests go now: an engine that was left may still be heard."""
        return self.address is not None and reply.request().url().authority() == QUrl(self.address.url).authority()


def status_of(reply: QNetworkReply) -> Any:
    """The HTTP status that came, or None where no answer did."""
    return reply.attribute(QNetworkRequest.Attribute.HttpStatusCodeAttribute)


def body_of(reply: QNetworkReply) -> bytes:
    """What came and was not read yet; nothing of one that was aborted, which is closed."""
    return bytes(reply.readAll().data()) if reply.isOpen() else b""
