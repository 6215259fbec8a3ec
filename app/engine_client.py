"""Talks to the engine over loopback HTTP, one answer at a time, inside Qt's event loop."""

import json
from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QByteArray, QObject, QUrl, Signal
from PySide6.QtNetwork import QNetworkAccessManager, QNetworkProxy, QNetworkReply, QNetworkRequest

from app.engine_process import EngineAddress
from app.problem import Problem
from app.protocol import (
    Event,
    Failure,
    Finished,
    Prefill,
    ProtocolError,
    Round,
    Text,
    parse_chunk,
    parse_failure,
    parse_request_id,
)
from app.sse import SseParser

READ_BYTES = 65_536  # at a time: a fast engine waits for the window instead of holding it up
SILENCE_MS = 180_000  # a long prompt on a slow machine may be quiet for minutes

_HEADER = QNetworkRequest.KnownHeaders.ContentTypeHeader
# A transfer timeout is one or the other, by Qt's version.
_SILENCE = (QNetworkReply.NetworkError.TimeoutError, QNetworkReply.NetworkError.OperationCanceledError)
_STATUS = QNetworkRequest.Attribute.HttpStatusCodeAttribute


class EngineClient(QObject):
    """Asks for one streamed answer at a time.

    Signals:
        model_named: the id of the model that the engine serves.
        drafters_told: what it can draft by, as a tuple of names; empty where it does not say.
        prefill_progressed: a Prefill.
        round_finished: a Round.
        text_arrived: text that became final.
        generation_finished: a Finished, once, last.
        completed: sent when the answer arrived whole, after generation_finished.
        failed: a Problem, sent instead of `completed`. Neither is sent after `cancel`.
        refused: a Problem: the engine does not tell its model, as its token is another.
    """

    model_named = Signal(str)
    drafters_told = Signal(tuple)
    prefill_progressed = Signal(object)
    round_finished = Signal(object)
    text_arrived = Signal(str)
    generation_finished = Signal(object)
    completed = Signal()
    failed = Signal(object)
    refused = Signal(object)

    def __init__(self, parent: QObject | None = None, silence_ms: int = SILENCE_MS) -> None:
        super().__init__(parent)
        self._silence_ms = silence_ms
        self._address: EngineAddress | None = None
        self._network = QNetworkAccessManager(self)
        self._network.setProxy(QNetworkProxy(QNetworkProxy.ProxyType.NoProxy))
        self._reply: QNetworkReply | None = None
        self._parser = SseParser()
        self._refusal = b""
        self.request_id: str | None = None
        """The engine's name of the answer under way, or of the last one; None until its first chunk."""

    @property
    def is_busy(self) -> bool:
        """Whether an answer is under way."""
        return self._reply is not None

    def set_address(self, address: EngineAddress) -> None:
        """Send what follows to `address`."""
        self._address = address

    def ask(self, body: Mapping[str, Any]) -> None:
        """Post a chat completion; the answer comes in signals. An earlier one is cancelled."""
        self.cancel()
        self.request_id = None
        self._parser = SseParser()
        self._refusal = b""
        request = self._request("/v1/chat/completions")
        request.setHeader(_HEADER, "application/json")
        request.setTransferTimeout(self._silence_ms)
        self._reply = self._network.post(request, QByteArray(json.dumps(body).encode()))
        self._reply.setReadBufferSize(READ_BYTES)
        self._reply.readyRead.connect(self._on_bytes)
        self._reply.finished.connect(self._on_closed)

    def cancel(self) -> None:
        """Close the connection; the engine then stops working on the answer."""
        if reply := self._let_go():
            reply.abort()
            reply.deleteLater()

    def fetch_model(self) -> None:
        """Ask which model is served; `model_named` tells."""
        reply = self._network.get(self._request("/v1/models"))
        reply.finished.connect(lambda: self._on_models(reply))

    def _request(self, path: str) -> QNetworkRequest:
        if self._address is None:
            raise RuntimeError("EngineClient has no address: call set_address first.")
        request = QNetworkRequest(QUrl(self._address.url + path))
        request.setRawHeader(QByteArray(b"Authorization"), QByteArray(f"Bearer {self._address.api_key}".encode()))
        return request

    def _on_models(self, reply: QNetworkReply) -> None:
        reply.deleteLater()
        if (status := reply.attribute(_STATUS)) in (401, 403):
            advice = "Look at the token in Settings."
            self.refused.emit(Problem("The engine refused the connection.", advice, f"HTTP {status}"))
            return
        try:
            card = json.loads(bytes(reply.readAll().data()))["data"][0]
            name, drafters = card["id"], tuple(map(str, card.get("drafters") or ()))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            return  # the next start of the engine asks again
        self.model_named.emit(str(name))
        self.drafters_told.emit(drafters)

    def _on_bytes(self) -> None:
        if (reply := self._reply) is None:
            return
        chunk = bytes(reply.readAll().data())
        if reply.attribute(_STATUS) != 200:
            self._refusal += chunk
            return
        for data in self._parser.feed(chunk):
            if self._reply is not reply:  # a slot cancelled or asked anew
                return
            if data.strip() == "[DONE]":
                self._end()
                self.completed.emit()
                return
            self._take(data)

    def _take(self, data: str) -> None:
        if self.request_id is None:
            self.request_id = parse_request_id(data)
        try:
            events = parse_chunk(data)
        except ProtocolError as error:
            self._fail(Problem("The engine's answer could not be read.", "Try again.", str(error), "retry"))
            return
        for event in events:
            self._tell(event)

    def _tell(self, event: Event) -> None:
        match event:
            case Prefill():
                self.prefill_progressed.emit(event)
            case Round():
                self.round_finished.emit(event)
            case Text(text):
                self.text_arrived.emit(text)
            case Finished():
                self.generation_finished.emit(event)
            case Failure():
                self._fail(explain(event, 500))

    def _on_closed(self) -> None:
        if (reply := self._reply) is None:
            return
        if reply.bytesAvailable():
            self._on_bytes()
        if self._reply is not reply:
            return
        status = reply.attribute(_STATUS)
        if status not in (None, 200):
            self._fail(explain(_read_refusal(self._refusal, int(status)), int(status)))
        elif reply.error() in _SILENCE:
            quiet = f"Nothing arrived for {self._silence_ms / 1000:g} s."
            self._fail(Problem("The engine went quiet.", "Try again, or start the engine again.", quiet, "restart"))
        else:
            kept = "What arrived so far is kept."
            self._fail(Problem("The connection to the engine was lost.", kept, reply.errorString(), "retry"))

    def _fail(self, problem: Problem) -> None:
        if self._reply is not None:
            self._end()
            self.failed.emit(problem)

    def _end(self) -> None:
        if reply := self._let_go():
            reply.abort()
            reply.deleteLater()

    def _let_go(self) -> QNetworkReply | None:
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.readyRead.disconnect(self._on_bytes)
            reply.finished.disconnect(self._on_closed)
        return reply


def explain(failure: Failure, status: int) -> Problem:
    """An error object in the words of the window."""
    details = f"HTTP {status}, {failure.kind}" + (f", field {failure.param}" if failure.param else "")
    if status == 400:
        return Problem("The engine did not accept the request.", failure.message, details)
    if status in (401, 403):
        details = f"{details}\n{failure.message}"
        return Problem("The engine refused the connection.", "Start the engine again.", details, "restart")
    if status == 404:
        return Problem("The engine does not serve this model.", failure.message, details, "restart")
    return Problem("The engine could not finish the answer.", failure.message or "Try again.", details, "retry")


def _read_refusal(body: bytes, status: int) -> Failure:
    try:
        return parse_failure(json.loads(body))
    except (AttributeError, KeyError, TypeError, ValueError):
        return Failure(body.decode("utf-8", "replace")[:400] or f"HTTP status {status}")
