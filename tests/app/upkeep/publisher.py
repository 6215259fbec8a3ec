"""Somebody who publishes feeds: signed with a key of the tests, served on the loopback address."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from nacl.signing import SigningKey

from app.upkeep.feed import CONTEXT, envelope

KEY = SigningKey(bytes(range(32)))
PUBLIC_KEY = bytes(KEY.verify_key)


def feed(version: str, *, notes: str = "", page: str = "https://example.org/lookahead", key: SigningKey = KEY) -> bytes:
    """A feed that announces `version`."""
    payload = json.dumps({"version": version, "notes": notes, "page": page, "published": "2026-12-01"})
    return envelope(payload, key.sign(CONTEXT + payload.encode()).signature).encode()


class Published:
    """What is served now, and what was asked."""

    def __init__(self) -> None:
        self.body, self.status, self.address = b"", 200, ""
        self.asked: list[dict[str, str]] = []


@contextmanager
def publishing() -> Iterator[Published]:
    """Serve until the block ends."""
    published = Published()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            published.asked.append(dict(self.headers))
            self.send_response(published.status)
            self.send_header("Content-Length", str(len(published.body)))
            self.end_headers()
            self.wfile.write(published.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        published.address = f"http://127.0.0.1:{server.server_port}/updates.json"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield published
        finally:
            server.shutdown()
            thread.join()
