"""Asks the engine about models, and has it fetch and keep them: /v1/models/… inside Qt's event loop."""

import json
from collections.abc import Callable
from itertools import count
from typing import Any, Final
from urllib.parse import quote, urlencode

from PySide6.QtCore import QT_TRANSLATE_NOOP, QByteArray, QObject, QTimer, Signal
from PySide6.QtNetwork import QNetworkReply

from app.engine.download_records import parse_download, parse_downloads
from app.engine.model_records import (
    Refusal,
    parse_findings,
    parse_judgement,
    parse_memory,
    parse_pairs,
    parse_place,
    parse_refusal,
    parse_stock,
    parse_suggestions,
)
from app.engine.network import EngineAddress, EngineNetwork, body_of, status_of
from app.engine.sse import Comment, SseParser

_TIMEOUT_MS: Final = 60_000  # a Hub that is far away is asked several times for one search
_VERIFY_MS: Final = 30 * 60_000  # reading every byte of a large model takes minutes
_AGAIN_MS: Final = 500
_EVENTS: Final = "events"
_ROUTE: Final = "/v1/models"
_GONE: Final = QT_TRANSLATE_NOOP(
    "ModelsClient", "The engine does not answer: it may be starting, or loading a model. This goes on when it does."
)
_PARSERS: Final[dict[str, Callable[[Any], object]]] = {
    "search": parse_findings,
    "judge": parse_judgement,
    "drafts": parse_pairs,
    "suggestions": parse_suggestions,
    "installed": parse_stock,
    "downloads": parse_downloads,
    "download": parse_download,
    "verify": lambda body: tuple(str(name) for name in body["wrong"]),
    "weigh": lambda body: int(body["freed_bytes"]),
    "remove": lambda body: int(body["freed_bytes"]),
    "token": lambda body: body["has_token"] is True,
    "memory": parse_memory,
    "place": parse_place,
    "move": parse_place,
    "mirror": parse_place,
}
# Which of the tasks tell of the same thing; the others are told apart by their subject.
_ABOUT: Final = {"memory": "memory", "place": "place", "move": "place", "mirror": "place"}


class ModelsClient(QObject):
    """Small requests, each answered by a signal, and the downloads as they change.

    Requests run side by side, and an answer may overtake another. What was asked for before something that was already
    told of the same thing is not told any more; a change tells how things are after it. Downloads are numbered.

    Signals:
        answered: (task, subject, value): the value that `task` brings, of the search words or the model `subject`.
        refused: (task, subject, Refusal): it did not come.
        downloads_changed: the DownloadList; sent while `watch` is on.
    """

    answered = Signal(str, str, object)
    refused = Signal(str, str, object)
    downloads_changed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._network = EngineNetwork(self)
        self._network.finished.connect(self._on_reply)
        self._events: QNetworkReply | None = None
        self._parser = SseParser()
        self._again = QTimer(self, singleShot=True, interval=_AGAIN_MS)
        self._again.timeout.connect(self._open_events)
        self._is_watching = False
        self._num_asked = 0
        self._order = count(1)
        self._told: dict[tuple[str, str], int] = {}
        """What was told last of each thing, by when it was asked for."""

    def set_address(self, address: EngineAddress) -> None:
        """Send what follows to `address`; a watch goes on there. What is under way comes to nothing."""
        self._network.address = address
        self._told.clear()
        if self._is_watching:
            self.watch()

    @property
    def is_asking(self) -> bool:
        """Whether an answer is still to come, the events' aside."""
        return self._num_asked > 0

    def search(self, text: str) -> None:
        """Look for words, a name or an address: "search" brings Findings."""
        self._ask("search", text, "GET", f"search?{urlencode({'q': text})}")

    def judge(self, name: str, context_tokens: int | None = None) -> None:
        """ "judge" brings the Judgement of a model of the Hub."""
        asked = {"name": name} | ({"context": str(context_tokens)} if context_tokens else {})
        self._ask("judge", name, "GET", f"judge?{urlencode(asked)}")

    def fetch_drafts(self, target: str) -> None:
        """ "drafts" brings the Pairs known for a target, the better first."""
        self._ask("drafts", target, "GET", f"pairs?{urlencode({'target': target})}")

    def fetch_suggestions(self) -> None:
        """ "suggestions" brings the Suggestions: pairs that fit the engine's machine."""
        self._ask("suggestions", "", "GET", "suggestions")

    def fetch_installed(self) -> None:
        """ "installed" brings the Stock."""
        self._ask("installed", "", "GET", "installed")

    def download(self, name: str) -> None:
        """Queue a model, or go on with it: "download" brings how it stands."""
        self._ask("download", name, "POST", "downloads", {"name": name})

    def change_download(self, name: str, action: str) -> None:
        """`action` is "pause", "resume" or "cancel"."""
        self._ask("download", name, "POST", f"downloads/{quote(name)}/{action}")

    def forget_download(self, name: str) -> None:
        """Take one that is over off the list: "downloads" brings the rest."""
        self._ask("downloads", name, "DELETE", f"downloads/{quote(name)}")

    def verify(self, name: str) -> None:
        """Read every byte of a model: "verify" brings the names of the files that are wrong."""
        self._ask("verify", name, "POST", f"installed/{quote(name)}/verify")

    def weigh_removal(self, name: str) -> None:
        """ "weigh" brings the bytes that deleting would free."""
        self._ask("weigh", name, "DELETE", f"installed/{quote(name)}?dry_run=true")

    def remove(self, name: str) -> None:
        """Delete a model: "remove" brings the bytes that are free again."""
        self._ask("remove", name, "DELETE", f"installed/{quote(name)}")

    def keep_token(self, token: str) -> None:
        """Keep a token of the Hub in the engine's keychain: "token" brings whether it has one now."""
        self._ask("token", "", "PUT", "token", {"token": token})

    def fetch_memory(self) -> None:
        """ "memory" brings the LoadedMemory."""
        self._ask("memory", "", "GET", "memory")

    def unload_after(self, idle_s: int) -> None:
        """Let idle models go after so many seconds, never for 0: "memory" brings the LoadedMemory."""
        self._ask("memory", "", "PUT", "memory", {"unload_after_s": idle_s})

    def fetch_place(self) -> None:
        """ "place" brings the ModelPlace: where models lie, and which hub is asked."""
        self._ask("place", "", "GET", "place")

    def move_cache(self, folder: str) -> None:
        """Move all models of the cache to a new or empty folder: "move" brings the ModelPlace then."""
        self._ask("move", folder, "PUT", "place/folder", {"folder": folder})

    def set_mirror(self, address: str) -> None:
        """Ask that hub from now on, its own for an empty address: "mirror" brings the ModelPlace then."""
        self._ask("mirror", address, "PUT", "place/mirror", {"address": address})

    def watch(self) -> None:
        """Follow the downloads from now on; a lost connection is made again."""
        self._is_watching = True
        self._close_events()
        self._open_events()

    def stop(self) -> None:
        """Follow them no longer."""
        self._is_watching = False
        self._again.stop()
        self._close_events()

    def _ask(self, task: str, subject: str, method: str, path: str, body: object = None) -> None:
        if self._network.address is None:
            self.refused.emit(task, subject, Refusal(self.tr(_GONE), "gone"))
            return
        path, timeout_ms = f"{_ROUTE}/{path}", _VERIFY_MS if task in ("verify", "move") else _TIMEOUT_MS
        if body is None:
            request = self._network.request(path, timeout_ms)
            reply = self._network.sendCustomRequest(request, QByteArray(method.encode()))
        else:
            reply = self._network.send_json(path, body, method=method, timeout_ms=timeout_ms)
        self._num_asked += 1
        reply.setProperty("task", task)
        reply.setProperty("subject", subject)
        reply.setProperty("asked", next(self._order) if method == "GET" else 0)

    def _is_late(self, task: str, subject: str, asked: int) -> bool:
        """Whether something later was told already. `asked` is 0 for a change, which tells what is when it is done."""
        about = (_ABOUT.get(task, task), "" if task in _ABOUT else subject)
        asked = asked or next(self._order)
        if asked < self._told.get(about, 0):
            return True
        self._told[about] = asked
        return False

    def _open_events(self) -> None:
        if self._network.address is None or self._events is not None:
            return
        self._parser = SseParser()
        self._events = self._network.get(self._network.request(f"{_ROUTE}/downloads/events"))
        self._events.setProperty("task", _EVENTS)
        self._events.readyRead.connect(self._on_events)

    def _close_events(self) -> None:
        reply, self._events = self._events, None
        if reply is not None:
            reply.readyRead.disconnect(self._on_events)
            reply.abort()

    def _on_events(self) -> None:
        if self._events is None or status_of(self._events) != 200:
            return
        for data in self._parser.feed(body_of(self._events)):
            if isinstance(data, Comment):
                continue
            try:
                self.downloads_changed.emit(parse_downloads(json.loads(data)))
            except (AttributeError, KeyError, TypeError, ValueError):
                continue  # a newer engine may tell what this window cannot read; the next event comes soon

    def _on_reply(self, reply: QNetworkReply) -> None:
        reply.deleteLater()
        task, subject = str(reply.property("task")), str(reply.property("subject"))
        if task == _EVENTS:
            if reply is self._events:
                self._events = None
                if self._is_watching:
                    self._again.start()
            return
        self._num_asked -= 1
        status, body = status_of(reply), body_of(reply)
        if self._is_late(task, subject, int(reply.property("asked"))):
            return
        if status is None or not self._network.is_of_this_engine(reply):
            self.refused.emit(task, subject, Refusal(self.tr(_GONE), "gone"))
            return
        try:
            if status == 200:
                self.answered.emit(task, subject, _PARSERS[task](json.loads(body)))
            else:
                self.refused.emit(task, subject, parse_refusal(json.loads(body)))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            said = self.tr("The engine's answer could not be read (HTTP {}, {}): try again.")
            self.refused.emit(task, subject, Refusal(said.format(status, type(error).__name__)))
