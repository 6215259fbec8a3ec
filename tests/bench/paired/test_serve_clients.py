"""The clients that ask servers: with the `openai` package and without, they send and read the same."""

import importlib.util
import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from mlx_spec.bench.paired.chat_client import ChatClient
from mlx_spec.bench.paired.chats import Message
from mlx_spec.bench.paired.serving.clients import OpenAIClient, OwnClient, client_of, library
from mlx_spec.errors import LookaheadError


class Peer(BaseHTTPRequestHandler):
    """A real server that streams a few chunks, refuses, or breaks off."""

    bodies: list[dict[str, Any]]
    fault: str

    def log_message(self, *told: object) -> None:
        """Nothing."""

    def do_POST(self) -> None:
        """One answer."""
        self.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(429 if self.fault == "busy" else 200)
        self.send_header("Content-Type", "application/json" if self.fault == "busy" else "text/event-stream")
        self.end_headers()
        if self.fault == "busy":
            self.wfile.write(b'{"error": {"message": "Too many."}}')
            return
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, {"reasoning": "Hm. "}, {"content": "So"}]
        for delta in deltas:
            self.send({"choices": [{"index": 0, "delta": delta}]})
        if self.fault == "error":
            self.send({"error": {"message": "Out of memory."}})
            return
        self.send({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}})
        self.wfile.write(b"data: [DONE]\n\n")

    def send(self, values: dict[str, Any]) -> None:
        """One event."""
        known = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        self.wfile.write(
            f": a comment\n\ndata: {json.dumps(values if 'error' in values else known | values)}\n\n".encode()
        )


@contextmanager
def peer(fault: str = "") -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Its address, and the bodies that it was sent."""
    bodies: list[dict[str, Any]] = []
    handler = type("OnePeer", (Peer,), {"bodies": bodies, "fault": fault})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", bodies
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(params=["openai", "httpx2"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the package, and where it is not installed."""
    if request.param == "httpx2":
        found = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openai" else found(name))
    return str(request.param)


class TestClients:
    ASK: list[Message] = [{"role": "user", "content": "Hello"}]  # noqa: RUF012

    def test_both_ask_the_same_and_read_the_same(self, kind: str) -> None:
        with peer() as (url, bodies), closing(client_of(ChatClient(url, model="mine"))) as client:
            assert isinstance(client, OpenAIClient if kind == "openai" else OwnClient)
            assert library() == kind
            pieces = list(client.pieces(self.ASK, 9, {"speculation": {"drafter": "none"}}))
        assert [piece.text for piece in pieces if piece.text] == ["Hm. ", "So"]
        assert (pieces[-1].tokens, pieces[-1].prompt_tokens) == (3, 5)
        assert bodies == [
            {
                "model": "mine",
                "messages": self.ASK,
                "temperature": 0.0,
                "max_tokens": 9,
                "stream": True,
                "stream_options": {"include_usage": True},
                "speculation": {"drafter": "none"},
            }
        ]

    @pytest.mark.parametrize(("fault", "words"), [("busy", "Too many"), ("error", "Out of memory")])
    def test_a_server_that_fails_is_a_sentence_of_ours(self, kind: str, fault: str, words: str) -> None:
        with (
            peer(fault) as (url, _),
            closing(client_of(ChatClient(url, model="mine"))) as client,
            pytest.raises(LookaheadError, match=words),
        ):
            list(client.pieces(self.ASK, 9, {}))

    def test_so_is_one_that_is_not_there(self, kind: str) -> None:
        with (
            closing(client_of(ChatClient("http://127.0.0.1:9", model="mine"))) as client,
            pytest.raises(LookaheadError, match=r"The server at http://127\.0\.0\.1:9"),
        ):
            list(client.pieces(self.ASK, 9, {}))
