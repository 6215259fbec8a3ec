"""Asks the engine how many tokens something takes; the answers come in signals, in the order of the questions."""

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QObject, Signal
from PySide6.QtNetwork import QNetworkReply

from app.engine.network import EngineAddress, EngineNetwork, body_of, status_of

TIMEOUT_MS = 30_000


@dataclass(frozen=True, slots=True)
class TokenCount:
    """How many tokens, of how many that the model's context holds; None where nobody knows. `prompt` is the text, where
    it was asked for; `note` tells what could not be written as it was meant."""

    num_tokens: int
    context_length: int | None
    prompt: str | None = None
    note: str | None = None

    @property
    def over(self) -> int:
        """How many tokens do not fit; below zero, for how many there is room."""
        return self.num_tokens - self.context_length if self.context_length is not None else -1


class TokenCounter(QObject):
    """One question at a time, so that a person who types does not flood the engine.

    Signals:
        counted: the key of the question, and the TokenCount.
        failed: the key of a question without an answer, and a sentence why.
    """

    counted = Signal(object, object)
    failed = Signal(object, str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._network = EngineNetwork(self)
        self._waiting: deque[tuple[object, dict[str, Any]]] = deque()
        self._reply: QNetworkReply | None = None
        self._key: object = None

    def set_address(self, address: EngineAddress) -> None:
        """Ask there from now on; what waited for an engine is asked at once."""
        self._network.address = address
        self._next()

    def count_text(self, key: object, text: str) -> None:
        """Count a text as it is."""
        self._ask(key, {"text": text})

    def count_messages(self, key: object, messages: Sequence[Mapping[str, str]], *, prompt: bool = False) -> None:
        """Count a conversation with the model's template, and on demand show the prompt that it makes."""
        self._ask(key, {"messages": list(messages), "prompt": prompt})

    def drop(self, key: object) -> None:
        """Forget the questions of this key that were not yet asked."""
        self._waiting = deque(one for one in self._waiting if one[0] != key)

    def _ask(self, key: object, body: dict[str, Any]) -> None:
        self.drop(key)
        self._waiting.append((key, body))
        self._next()

    def _next(self) -> None:
        if self._reply is not None or self._network.address is None or not self._waiting:
            return
        key, body = self._waiting.popleft()
        self._key = key
        self._reply = self._network.send_json("/v1/tokenize", body, timeout_ms=TIMEOUT_MS)
        self._reply.finished.connect(self._on_finished)

    def _on_finished(self) -> None:
        reply, key = self._reply, self._key
        if reply is None:
            return
        self._reply = None
        reply.deleteLater()
        content = body_of(reply)
        try:
            if not self._network.is_of_this_engine(reply):
                raise ValueError("another engine counts with another tokenizer")
            told = json.loads(content)
            if status_of(reply) != 200:
                self.failed.emit(key, str(told["error"]["message"]))
            else:
                holds = told["context_length"]
                count = TokenCount(
                    int(told["num_tokens"]),
                    int(holds) if holds is not None else None,
                    told.get("prompt"),
                    told.get("note"),
                )
                self.counted.emit(key, count)
        except (KeyError, TypeError, ValueError):
            self.failed.emit(key, reply.errorString() or self.tr("The engine's answer could not be read."))
        self._next()
