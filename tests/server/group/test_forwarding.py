"""The leader's answers reach clients as they are; and where its process is gone in the midst of one, they hear so."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import httpx
import pytest

from mlx_spec.hosts.group import GroupState, RankState
from mlx_spec.server.address import bind, url_of
from mlx_spec.server.group.doorman import HttpDoorman
from mlx_spec.server.guard import checked_access

HANGS_S = 60.0
RANKS = (RankState(rank=0, host="a"), RankState(rank=1, host="b"))
READY = GroupState(stage="ready", message="The group is whole: a, b.", backend="ring", ranks=RANKS, times_formed=1)
WHY = "a (rank 0) was ended by SIGKILL."
LOST = replace(READY, stage="lost", message=WHY, error=WHY)
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
LINES = EVENTS.replace(b"text/event-stream; charset=utf-8", b"application/x-ndjson")


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(text), text)


class Front:
    """A doorman, and in the leader's place a socket that a test answers at."""

    def __init__(self) -> None:
        self.state = READY
        self.public, self._own = bind("127.0.0.1", 0), socket.create_server(("127.0.0.1", 0))
        self._own.settimeout(HANGS_S)
        access = checked_access("127.0.0.1", None, (), ())
        self.doorman = HttpDoorman(self.public, access, lambda: self.state, url_of(self._own))
        self.doorman.close()
        self.url = url_of(self.public)
        self.asked = b""
        self.gone = threading.Event()
        """Its client has left the leader."""

    def leads(self, *said: bytes, stays: bool = False) -> None:
        """Have the next request be answered so; then the connection ends, or the leader `stays`, and says no more."""
        threading.Thread(target=self._lead, args=(said, stays)).start()

    def _lead(self, said: tuple[bytes, ...], stays: bool) -> None:
        with self._own.accept()[0] as client:
            client.settimeout(HANGS_S)
            self.asked = client.recv(65536)
            length = (
                0 if b"content-length" not in self.asked else int(self.asked.split(b"content-length: ")[1].split()[0])
            )
            while len(self.asked.partition(b"\r\n\r\n")[2]) < length:
                self.asked += client.recv(65536)
            for one in said:
                client.sendall(one)
            if stays:
                assert client.recv(1) == b""
                self.gone.set()

    def close(self) -> None:
        self.doorman.end()
        self.public.close()
        self._own.close()


@pytest.fixture
def front() -> Iterator[Front]:
    made = Front()
    yield made
    made.close()


def ask(front: Front, path: str, **options: object) -> httpx.Response:
    method = "POST" if options else "GET"
    return httpx.request(method, f"{front.url}{path}", timeout=HANGS_S, **options)  # type: ignore[arg-type]


def test_an_answer_is_the_leaders_own(front: Front) -> None:
    body = b'{"status": "ok"}'
    head = b"HTTP/1.1 418 Teapot\r\ncontent-length: %d\r\ncontent-type: application/json\r\nx-request-id: 7\r\n\r\n"
    front.leads(head % len(body) + body)
    answer = ask(front, "/v1/x%2Fy?a=1&a=2", content=b"what was asked", headers={"Authorization": "Bearer k"})
    assert (answer.status_code, answer.content, answer.headers["x-request-id"]) == (418, body, "7")
    told, _, asked = front.asked.partition(b"\r\n\r\n")
    assert told.startswith(b"POST /v1/x%2Fy?a=1&a=2 HTTP/1.1")
    assert f"host: 127.0.0.1:{front.public.getsockname()[1]}".encode() in told.lower()
    assert (b"authorization: bearer k" in told.lower(), asked) == (True, b"what was asked")


def test_a_stream_comes_through_event_by_event(front: Front) -> None:
    parts = [b'data: {"n": 1}\n\n', b": ping\n\n", b"data: [DONE]\n\n"]
    front.leads(EVENTS, *map(chunk, parts), chunk(b""))
    assert ask(front, "/v1/chat/completions", json={}).content == b"".join(parts)


def broken(front: Front, how: str) -> Callable[[], None]:
    """The leader's process is stopped, or killed."""

    def happens() -> None:
        front.state = LOST
        if how == "stopped":
            front.doorman.give_up()

    return happens


@pytest.mark.parametrize("how", ["killed", "stopped"])
@pytest.mark.parametrize(
    ("path", "head", "last"),
    [
        ("/v1/chat/completions", EVENTS, lambda said: json.loads(said.removeprefix("data: "))["error"]["message"]),
        ("/v1/completions", EVENTS, lambda said: json.loads(said.removeprefix("data: "))["error"]["message"]),
        ("/v1/messages", EVENTS, lambda said: json.loads(said.split("data: ")[1])["error"]["message"]),
        ("/v1/responses", EVENTS, lambda said: json.loads(said.split("data: ")[1])["message"]),
        ("/api/chat", LINES, lambda said: json.loads(said)["error"]),
    ],
)
def test_a_stream_whose_leader_is_gone_ends_with_an_error_that_says_why(
    front: Front, path: str, head: bytes, last: Callable[[str], str], how: str
) -> None:
    end = b"\n" if head == LINES else b"\n\n"
    # Half of an event has come, which must not stand before the error.
    front.leads(head, chunk(b'data: {"n": 1}' + end + b'data: {"n"'), stays=how == "stopped")
    happens = broken(front, how)
    with httpx.stream("POST", f"{front.url}{path}", json={}, timeout=HANGS_S) as streamed:
        pieces = streamed.iter_text()
        text = next(pieces)
        assert text == 'data: {"n": 1}' + end.decode()
        happens()
        said = "".join(pieces).removesuffix(end.decode())
    assert last(said) == WHY
    if path == "/v1/responses":
        assert json.loads(said.split("data: ")[1])["sequence_number"] == 1


@pytest.mark.parametrize("how", ["killed", "stopped"])
@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\ncontent-type: application/json\r\n\r\n{"]
)
def test_an_answer_in_one_piece_is_an_error_with_its_status(front: Front, said: bytes, how: str) -> None:
    front.leads(said, stays=how == "stopped")

    def soon() -> None:
        # Of one that was killed the supervisor may say so before or after the connection ends.
        while how == "stopped" and not front.asked:
            time.sleep(0.005)
        broken(front, how)()

    thread = threading.Thread(target=soon)
    thread.start()
    answer = ask(front, "/v1/messages", json={})
    thread.join()
    assert (answer.status_code, answer.json()["error"]["message"]) == (503, WHY)
    assert int(answer.headers["retry-after"]) > 0


def test_who_leaves_leaves_the_leader_too(front: Front) -> None:
    front.leads(EVENTS, chunk(b"data: 1\n\n"), stays=True)
    with httpx.stream("POST", f"{front.url}/v1/completions", json={}, timeout=HANGS_S) as streamed:
        next(streamed.iter_text())
    assert front.gone.wait(HANGS_S)


def test_open_it_answers_itself_and_what_is_under_way_goes_on(front: Front) -> None:
    front.leads(EVENTS, chunk(b"data: 1\n\n"), stays=True)
    with httpx.stream("POST", f"{front.url}/v1/completions", json={}, timeout=HANGS_S) as streamed:
        pieces = streamed.iter_text()  # held, as httpx leaves with it
        next(pieces)
        front.doorman.open()
        front.state = LOST
        assert ask(front, "/v1/models").status_code == 503
        assert not front.gone.is_set()


def test_a_leader_that_only_breaks_off_is_said_to_have_done_so(front: Front) -> None:
    front.leads(b"")
    answer = ask(front, "/v1/models")
    assert (answer.status_code, answer.json()["error"]["message"]) == (503, "a (rank 0) broke off its answer.")
