"""The client of other servers: what it sends, what it times, and what it says where a server is not as it should be."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from mlx_spec.bench.paired.chat_client import ChatClient, StreamedAnswer
from mlx_spec.errors import LookaheadError


class Clock:
    """Seconds that pass only while a server sends."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Stream(httpx2.SyncByteStream):
    """Lines that come a second after each other."""

    def __init__(self, clock: Clock, lines: list[str]) -> None:
        self._clock, self._lines = clock, lines

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            self._clock.now += 1.0
            yield f"{line}\n\n".encode()


def chunk(**values: Any) -> str:
    return "data: " + json.dumps(values)


def delta(**values: Any) -> str:
    return chunk(choices=[{"delta": values}])


SPOKEN = [
    ": a ping",
    delta(role="assistant", content=""),
    delta(content="Grüß"),
    delta(content=" Gott"),
    chunk(choices=[{"delta": {}, "finish_reason": "stop"}]),
    chunk(choices=[], usage={"completion_tokens": 5}),
    "data: [DONE]",
]


class Peer:
    """A scripted server."""

    def __init__(self, lines: list[str], *, status: int = 200, knows_usage: bool = True, models: Any = None) -> None:
        self.clock = Clock()
        self.requests: list[httpx2.Request] = []
        self._lines, self._status, self._knows_usage = lines, status, knows_usage
        self._models = [{"id": "first"}, {"id": "second"}] if models is None else models

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        if request.url.path == "/v1/models":
            return httpx2.Response(200, json={"data": self._models})
        if self._status != 200:
            return httpx2.Response(self._status, json={"error": {"message": "No such model here."}})
        if "stream_options" in json.loads(request.content) and not self._knows_usage:
            return httpx2.Response(422, json={"detail": "stream_options: extra fields not permitted"})
        return httpx2.Response(200, stream=Stream(self.clock, self._lines))

    def client(self, url: str = "http://peer:8080", **options: Any) -> ChatClient:
        return ChatClient(url, transport=httpx2.MockTransport(self), clock=self.clock, **options)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """Of all questions."""
        return [json.loads(request.content) for request in self.requests if request.method == "POST"]


def test_the_first_and_the_last_text_are_timed_and_the_servers_count_is_taken() -> None:
    with Peer(SPOKEN).client() as client:
        assert client.answer("Hello", 0.0, 16) == StreamedAnswer("Grüß Gott", 5, 3.0, 4.0, "Grüß Gott")


def test_both_servers_are_asked_the_same() -> None:
    peer = Peer(SPOKEN)
    with peer.client(model="mine", key="secret") as client:
        client.answer("Hello", 0.7, 16)
    assert peer.bodies == [
        {
            "model": "mine",
            "messages": [{"role": "user", "content": "Hello"}],
            "temperature": 0.7,
            "max_tokens": 16,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]
    assert peer.requests[0].headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    "url", ["http://peer:8080", "http://peer:8080/", "http://peer:8080/v1", "http://peer:8080/v1/"]
)
def test_an_address_may_end_in_v1(url: str) -> None:
    peer = Peer(SPOKEN)
    with peer.client(url) as client:
        client.answer("Hello", 0.0, 16)
    assert [request.url.path for request in peer.requests] == ["/v1/models", "/v1/chat/completions"]


def test_without_a_name_the_first_model_listed_is_asked() -> None:
    peer = Peer(SPOKEN)
    with peer.client() as client:
        client.answer("Hello", 0.0, 16)
    assert peer.bodies[0]["model"] == "first"
    with (
        Peer(SPOKEN, models=[]).client() as client,
        pytest.raises(LookaheadError, match="name one with --beside-model"),
    ):
        client.answer("Hello", 0.0, 16)


def test_a_server_that_refuses_to_count_is_asked_without_from_then_on() -> None:
    peer = Peer(SPOKEN[:-2], knows_usage=False)
    with peer.client() as client:
        assert client.answer("Hello", 0.0, 16).tokens is None
        assert client.answer("Hello", 0.0, 16).text == "Grüß Gott"
    assert ["stream_options" in body for body in peer.bodies] == [True, False, False]


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 40, "prompt_tokens_details": {"cached_tokens": 32}}, (40, 32)),
        ({"prompt_tokens": 40, "prompt_tokens_details": None}, (40, None)),
        ({}, (None, None)),
    ],
)
def test_what_the_server_knew_of_a_conversation_is_taken_where_it_tells(
    usage: dict[str, Any], counts: tuple[int | None, int | None]
) -> None:
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    peer = Peer([delta(content="d"), chunk(choices=[], usage={"completion_tokens": 1} | usage), "data: [DONE]"])
    with peer.client() as client:
        answer = client.reply(said, 0.0, 16)
    assert (answer.prompt_tokens, answer.cached_tokens) == counts
    assert answer.tokens == 1
    assert peer.bodies[0]["messages"] == said


def test_what_is_said_as_reasoning_is_text_too() -> None:
    lines = [delta(reasoning_content="Hm."), delta(reasoning=" So"), delta(content="Yes"), "data: [DONE]"]
    with Peer(lines).client() as client:
        assert client.answer("Hello", 0.0, 16) == StreamedAnswer("Hm. SoYes", None, 1.0, 3.0, "Yes")


def test_an_answer_without_text_has_no_times() -> None:
    with Peer([SPOKEN[-2], SPOKEN[-1]]).client() as client:
        assert client.answer("Hello", 0.0, 16) == StreamedAnswer("", 5, None, None)


@pytest.mark.parametrize(
    ("peer", "message"),
    [
        (Peer([], status=404), "The server at http://peer:8080 refuses with status 404: No such model here."),
        (Peer([chunk(error={"message": "Out of memory."})]), "broke off its answer: Out of memory."),
        (Peer(["data: <html>"]), "The server at http://peer:8080 cannot be measured"),
        (Peer(["data: 7"]), "The server at http://peer:8080 cannot be measured"),
        (Peer([], models=[{"name": "x"}]), "The server at http://peer:8080 cannot be measured"),
    ],
)
def test_a_server_that_fails_is_one_sentence(peer: Peer, message: str) -> None:
    with peer.client() as client, pytest.raises(LookaheadError, match=message) as error:
        client.answer("Hello", 0.0, 16)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("url", ["nowhere", "ftp://peer", "http://", ""])
def test_what_is_no_address_is_told(url: str) -> None:
    with pytest.raises(LookaheadError, match="is no address of a server"):
        ChatClient(url)
