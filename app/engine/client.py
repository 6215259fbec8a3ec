"""Talks to the engine over loopback HTTP, one answer at a time, inside Qt's event loop."""

import json
from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QCoreApplication, QObject, Signal
from PySide6.QtNetwork import QNetworkReply

from app.engine.network import EngineAddress, EngineNetwork, body_of, status_of
from app.engine.problem import Problem
from app.engine.protocol import (
    Event,
    Failure,
    Finished,
    Prefill,
    ProtocolError,
    Round,
    TaggedText,
    Text,
    Thought,
    parse_chunk,
    parse_comment,
    parse_failure,
    parse_request_id,
)
from app.engine.request import begun_in
from app.engine.sse import Comment, SseParser

READ_BYTES = 65_536  # at a time: a fast engine waits for the window instead of holding it up
SILENCE_MS = 180_000  # a long prompt on a slow machine may be quiet for minutes

# A transfer timeout is one or the other, by Qt's version.
_SILENCE = (QNetworkReply.NetworkError.TimeoutError, QNetworkReply.NetworkError.OperationCanceledError)


class EngineClient(QObject):
    """Asks for one streamed answer at a time.

    Signals:
        model_named: the id of the model that the engine serves.
        drafters_told: what it can draft by, as a tuple of names; empty where it does not say.
        prefill_progressed: a Prefill.
        round_finished: a Round.
        text_arrived: text that became final, with what was thought before it in tags.
        standing_told: a Standing: the answer waits, or is set aside, or goes on.
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
    standing_told = Signal(object)
    generation_finished = Signal(object)
    completed = Signal()
    failed = Signal(object)
    refused = Signal(object)

    def __init__(self, parent: QObject | None = None, silence_ms: int = SILENCE_MS) -> None:
        super().__init__(parent)
        self._silence_ms = silence_ms
        self._network = EngineNetwork(self)
        self._models: QNetworkReply | None = None
        self._reply: QNetworkReply | None = None
        self._parser, self._tagged = SseParser(), TaggedText()
        self._refusal = b""
        self.request_id: str | None = None
        """The engine's name of the answer under way, or of the last one; None until its first chunk."""

    @property
    def is_busy(self) -> bool:
        """Whether an answer is under way."""
        return self._reply is not None

    def set_address(self, address: EngineAddress) -> None:
        """Send what follows to `address`."""
        self._network.address = address

    def ask(self, body: Mapping[str, Any]) -> None:
        """Post a chat completion; the answer comes in signals. An earlier one is cancelled."""
        self.cancel()
        self.request_id = None
        self._parser, self._tagged = SseParser(), TaggedText(begun_in(body))
        self._refusal = b""
        self._reply = self._network.send_json("/v1/chat/completions", body, timeout_ms=self._silence_ms)
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
        if self._models is not None:
            self._models.finished.disconnect(self._on_models)
            self._models.abort()
            self._models.deleteLater()
        self._models = self._network.get(self._network.request("/v1/models"))
        self._models.finished.connect(self._on_models)

    def _on_models(self) -> None:
        reply, self._models = self._models, None
        if reply is None:
            return
        reply.deleteLater()
        if (status := status_of(reply)) in (401, 403):
            advice = self.tr("Look at the token in Settings.")
            self.refused.emit(Problem(self.tr("The engine refused the connection."), advice, f"HTTP {status}"))
            return
        try:
            card = json.loads(body_of(reply))["data"][0]
            name, drafters = card["id"], tuple(map(str, card.get("drafters") or ()))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            return  # the next start of the engine asks again
        self.model_named.emit(str(name))
        self.drafters_told.emit(drafters)

    def _on_bytes(self) -> None:
        if (reply := self._reply) is None:
            return
        chunk = body_of(reply)
        if status_of(reply) != 200:
            self._refusal += chunk
            return
        for data in self._parser.feed(chunk):
            if self._reply is not reply:  # a slot cancelled or asked anew
                return
            if isinstance(data, Comment):
                if (standing := parse_comment(data.text)) is not None:
                    self.standing_told.emit(standing)
                continue
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
            self._fail(
                Problem(self.tr("The engine's answer could not be read."), self.tr("Try again."), str(error), "retry")
            )
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
                self.text_arrived.emit(self._tagged.said(text))
            case Thought(text):
                self.text_arrived.emit(self._tagged.thought(text))
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
        status = status_of(reply)
        if status not in (None, 200):
            self._fail(explain(_read_refusal(self._refusal, int(status)), int(status)))
        elif reply.error() in _SILENCE:
            quiet = self.tr("Nothing arrived for {0:g} s.").format(self._silence_ms / 1000)
            self._fail(
                Problem(
                    self.tr("The engine went quiet."),
                    self.tr("Try again, or start the engine again."),
                    quiet,
                    "restart",
                )
            )
        else:
            kept = self.tr("What arrived so far is kept.")
            self._fail(Problem(self.tr("The connection to the engine was lost."), kept, reply.errorString(), "retry"))

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
        return Problem(
            QCoreApplication.translate("EngineClient", "The engine did not accept the request."),
            failure.message,
            details,
        )
    if status in (401, 403):
        details = f"{details}\n{failure.message}"
        return Problem(
            QCoreApplication.translate("EngineClient", "The engine refused the connection."),
            QCoreApplication.translate("EngineClient", "Start the engine again."),
            details,
            "restart",
        )
    if status == 404:
        return Problem(
            QCoreApplication.translate("EngineClient", "The engine does not serve this model."),
            failure.message,
            details,
            "restart",
        )
    if status == 429:
        title = QCoreApplication.translate("EngineClient", "The engine has as many requests as it takes.")
        return Problem(title, failure.message, details, "retry")
    return Problem(
        QCoreApplication.translate("EngineClient", "The engine could not finish the answer."),
        failure.message or QCoreApplication.translate("EngineClient", "Try again."),
        details,
        "retry",
    )


def _read_refusal(body: bytes, status: int) -> Failure:
    try:
        return parse_failure(json.loads(body))
    except (AttributeError, KeyError, TypeError, ValueError):
        return Failure(body.decode("utf-8", "replace")[:400] or f"HTTP status {status}")
