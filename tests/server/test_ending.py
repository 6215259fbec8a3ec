"""A server with real models that is asked to end: exit code 0 and not a word, whatever its MLX thread is doing."""

import signal
import socket
import subprocess
import threading
from typing import Any

import httpx
import pytest

from tests.server.live import wait_until
from tests.server.test_serve import HANGS_S, server_process

PROGRAM = ("-m", "tests.server.phased_server")


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    assert process.stderr is not None
    return process.wait(HANGS_S), process.stderr.read()


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        ("importing", "Importing"),
        ("loading", "Loading: 50%"),
        ("calibrating", "speed"),
        ("warming", "is ready"),
        ("idle", "is ready"),
        ("unloaded", "was unloaded"),
    ],
)
def test_asked_to_end_it_ends(phase: str, message: str) -> None:
    with server_process((*PROGRAM, phase)) as (process, url):
        assert wait_until(lambda: message in httpx.get(f"{url}/health", timeout=HANGS_S).json()["message"], HANGS_S)
        process.terminate()
        assert ended(process) == (0, "")


class Client(threading.Thread):
    """Asks for a stream, and reads it to its end or cut."""

    def __init__(self, url: str, question: str, wanted: str) -> None:
        super().__init__()
        self._url, self._question, self._wanted = url, question, wanted
        self.lines: list[str] = []
        self.error: Exception | None = None
        self.reached = threading.Event()

    def run(self) -> None:
        body: dict[str, Any] = {"messages": [{"role": "user", "content": self._question}], "stream": True}
        body |= {"max_tokens": 90_000, "logit_bias": {"258": -100}, "speculation": {"events": True}}
        try:
            with httpx.stream("POST", f"{self._url}/v1/chat/completions", json=body, timeout=HANGS_S) as answer:
                for line in answer.iter_lines():
                    self.lines += [line] if line.strip() else []
                    if self._wanted in line:
                        self.reached.set()
        except httpx.HTTPError as error:
            self.error = error


@pytest.mark.parametrize(
    ("phase", "question", "number"),
    [
        ("prefill", "word " * 4000, signal.SIGTERM),
        ("round", "hello", signal.SIGINT),
        ("round", "hello", signal.SIGHUP),
    ],
)
def test_its_streams_end_with_a_message(phase: str, question: str, number: int) -> None:
    """One that is read or answered, and one that waits behind it."""
    with server_process((*PROGRAM, "answering")) as (process, url):
        front = Client(url, question, f'"type": "{phase}"')
        behind = Client(url, "hello", "never")
        front.start()
        assert front.reached.wait(HANGS_S)
        behind.start()
        waiting = "lookahead_requests_unfinished 2"
        assert wait_until(lambda: waiting in httpx.get(f"{url}/metrics", timeout=HANGS_S).text, HANGS_S)
        process.send_signal(number)
        for client in (front, behind):
            client.join(HANGS_S)
            assert client.error is None
            assert "The server is stopping." in client.lines[-1]
        assert ended(process) == (0, "")


def test_a_download_that_waits_for_its_hub_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with server_process((*PROGRAM, "idle")) as (process, url):
            asked = httpx.post(f"{url}/v1/models/downloads", json={"name": "org/model"}, timeout=HANGS_S)
            assert asked.status_code == 200
            with silent.accept()[0]:  # it has connected, and waits for an answer that never comes
                process.terminate()
                assert ended(process) == (0, "")
