"""A Hub of one's own on the loopback address: what the real one says over HTTP, as far as models are concerned.

Search, a model's facts, its tree, and files: small ones from the Hub itself, large ones by a redirect to a blob store
at another origin, which refuses requests that still carry the Hub's token. It fails on order (`faults`), counts what it
sends (`sent_bytes`), and can be slowed down (`bytes_per_second`).
"""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub.contents import HubFile, HubModel
from tests.hub.faults import Fault

TOKEN: Final = "hf_loopback"
_RESOLVE: Final = re.compile(r"/(?P<id>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_API: Final = re.compile(r"/api/models/(?P<id>[^/]+/[^/]+)(?:/(?P<kind>revision|tree)/(?P<revision>[^/]+))?")
_SMALL_PIECE: Final = 16_384


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as the Hub got it."""

    method: str
    path: str
    range: str | None
    authorization: str | None
    store: bool


class LoopbackHub:
    """The Hub's contents and its misbehaviour; see `serving`."""

    def __init__(self, models: dict[str, HubModel]) -> None:
        self.models = models
        self.faults: list[Fault] = []
        self.asked: list[Asked] = []
        self.sent_bytes = 0
        self.bytes_per_second: float | None = None
        self.endpoint = ""
        self.store = ""
        self.lock = threading.Lock()
        self.ended = threading.Event()

    def take_fault(self, path: str) -> Fault | None:
        """The fault that is ordered for a request to `path`, used up by it."""
        with self.lock:
            for index, fault in enumerate(self.faults):
                if fault.path in path:
                    self.faults[index : index + 1] = [replace(fault, times=fault.times - 1)] if fault.times > 1 else []
                    return fault
        return None

    def count(self, sent: int) -> None:
        """Add to what went over the wire."""
        with self.lock:
            self.sent_bytes += sent

    def blob(self, sha256: str) -> HubFile:
        """The file of this hash."""
        models = [one for model in self.models.values() for one in (model, *model.branches.values())]
        return next(f for model in models for f in model.files.values() if f.sha256 == sha256)


@contextmanager
def serving(models: dict[str, HubModel]) -> Iterator[LoopbackHub]:
    """Serve `models` until the block ends."""
    hub = LoopbackHub(models)
    servers = [_server(hub, store=False), _server(hub, store=True)]
    hub.endpoint, hub.store = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        hub.ended.set()
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves in the middle is no error."""


def _server(hub: LoopbackHub, *, store: bool) -> _Server:
    return _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub, "is_store": store}))


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    is_store: bool
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        """Where the speed is limited, a small send buffer: what is counted as sent has nearly all arrived."""
        if self.hub.bytes_per_second is not None:
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().setup()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing on stderr."""

    def do_HEAD(self) -> None:
        """As GET, without the body."""
        self._answer()

    def do_GET(self) -> None:
        """Answer."""
        self._answer()

    def _answer(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        authorization = self.headers.get("authorization")
        asked = Asked(self.command, path, self.headers.get("range"), authorization, self.is_store)
        self.hub.asked.append(asked)
        fault = self.hub.take_fault(path)
        if fault is not None and fault.kind == "status":
            self._say(fault.status, {"error": "on order"}, dict(fault.headers))
        elif fault is not None and fault.kind == "redirect_loop":
            self._say(302, {}, {"Location": self.path})
        elif self.is_store:
            if authorization is not None:
                self._say(400, {"error": "the Hub's token reached the blob store"})
            else:
                self._send_file(self.hub.blob(path.rpartition("/")[2]), {}, fault)
        elif found := _RESOLVE.fullmatch(url.path):  # as it came: a slash in a revision is written %2F
            self._resolve(found, fault)
        elif path == "/api/models":
            self._search(parse_qs(url.query))
        elif found := _API.fullmatch(url.path):
            self._facts(found)
        else:
            self._say(404, {"error": "no such path"})

    def _model(self, found: re.Match[str]) -> HubModel | None:
        """The model that is asked for, or None where that was refused."""
        model = self.hub.models.get(found["id"])
        authorized = self.headers.get("authorization") == f"Bearer {TOKEN}"
        if not authorized and self.headers.get("authorization") is not None:
            said = "Invalid credentials in Authorization header"
            self._say(401, {"error": said}, {"X-Error-Message": said})
        elif model is None or (model.private and not authorized):
            self._say(404 if authorized else 401, {}, {"X-Error-Code": "RepoNotFound"})
        elif (revision := model.at(found["revision"] and unquote(found["revision"]))) is None:
            self._say(404, {}, {"X-Error-Code": "RevisionNotFound"})
        else:
            return revision
        return None

    def _resolve(self, found: re.Match[str], fault: Fault | None) -> None:
        model = self._model(found)
        if model is None:
            return
        if model.gated and self.headers.get("authorization") is None:
            self._say(401, {}, {"X-Error-Code": "GatedRepo"})
            return
        file = model.files.get(unquote(found["path"]))
        if file is None:
            self._say(404, {}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": model.commit})
            return
        headers = {"X-Repo-Commit": model.commit, "ETag": f'"{file.git_sha1}"'}
        if file.lfs:
            linked = {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
            self._say(302, {}, headers | linked | {"Location": f"{self.hub.store}/blobs/{file.sha256}"})
        else:
            self._send_file(file, headers, fault)

    def _search(self, query: dict[str, list[str]]) -> None:
        words = query.get("search", [""])[0].lower().split()
        author = query.get("author", [""])[0]
        limit = int(query.get("limit", ["1000"])[0])
        found = [
            self._summary(name, model)
            for name, model in self.hub.models.items()
            if all(word in name.lower() for word in words) and name.startswith(author) and not model.private
        ]
        self._say(200, found[:limit])

    def _summary(self, name: str, model: HubModel) -> dict[str, Any]:
        said = {"id": name, "sha": model.commit, "gated": "auto" if model.gated else False, "private": model.private}
        return said | {"downloads": 10, "likes": 1, "tags": [], "siblings": []} | model.facts

    def _facts(self, found: re.Match[str]) -> None:
        model = self._model(found)
        if model is None:
            return
        entries = sorted(model.files.items())
        if found["kind"] == "tree":
            self._say(200, [_tree_entry(path, file) for path, file in entries])
        else:
            siblings = [_sibling(path, file) for path, file in entries]
            self._say(200, self._summary(found["id"], model) | {"siblings": siblings})

    def _say(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _send_file(self, file: HubFile, headers: dict[str, str], fault: Fault | None) -> None:
        kind = fault.kind if fault else None
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range") or "")
        start = int(asked[1]) if asked and kind != "ignore_range" else 0
        if asked and start >= file.size > 0:
            self._say(416, {}, {"Content-Range": f"bytes */{file.size}"})
            return
        length = file.size - start
        self.send_response(206 if start else 200)
        for name, value in ({"ETag": f'"{file.etag}"'} | headers).items():
            self.send_header(name, value)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{file.size - 1}/{file.size}")
        if kind == "endless":
            self.send_header("Connection", "close")
        else:
            extra = fault.at if fault is not None and kind == "wrong_length" else 0
            self.send_header("Content-Length", str(length + extra))
        self.end_headers()
        if self.command == "HEAD":
            return
        self._send_body(file, start, length, fault)
        if kind in ("cut", "wrong_length", "endless"):
            self.close_connection = True
            self.connection.close()

    def _send_body(self, file: HubFile, start: int, length: int, fault: Fault | None) -> None:
        kind, at = (fault.kind, fault.at) if fault else (None, 0)
        due, position = time.monotonic(), start
        for piece in self._pieces(file, start, length, endless=kind == "endless"):
            if kind == "wrong_bytes" and position <= at < position + len(piece):
                spoilt = bytearray(piece)
                spoilt[at - position] ^= 1
                piece = bytes(spoilt)
            if kind in ("cut", "stall") and position + len(piece) > at:
                self._write(piece[: max(at - position, 0)])
                if kind == "stall":
                    self.hub.ended.wait(60)
                return
            self._write(piece)
            position += len(piece)
            if self.hub.bytes_per_second:
                # Time that a busy machine took is not made up for in a burst, which would wait unread.
                due = max(due, time.monotonic() - 0.002) + len(piece) / self.hub.bytes_per_second
                time.sleep(max(0.0, due - time.monotonic()))

    def _pieces(self, file: HubFile, start: int, length: int, *, endless: bool) -> Iterator[bytes]:
        while True:
            for piece in file.pieces(start, length):
                if self.hub.bytes_per_second is None:
                    yield piece
                else:
                    yield from (piece[i : i + _SMALL_PIECE] for i in range(0, len(piece), _SMALL_PIECE))
            if not endless:
                return
            start, length = 0, file.size

    def _write(self, data: bytes) -> None:
        self.connection.sendall(data)
        self.hub.count(len(data))


def _tree_entry(path: str, file: HubFile) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": file.size, "oid": file.git_sha1}
    if file.lfs:
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 134}
    return entry


def _sibling(path: str, file: HubFile) -> dict[str, Any]:
    entry: dict[str, Any] = {"rfilename": path, "size": file.size, "blobId": file.git_sha1}
    if file.lfs:
        entry["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": 134}
    return entry
