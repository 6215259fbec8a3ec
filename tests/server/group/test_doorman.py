"""Who answers while the group is not whole: every protocol's own error, the sentence, and nobody who may not ask."""

import socket
from collections.abc import Iterator

import httpx
import pytest

from mlx_spec.hosts.group import GroupState, RankState
from mlx_spec.server.address import bind
from mlx_spec.server.group.doorman import HttpDoorman
from mlx_spec.server.guard import checked_access

KEY = "k-test-1234"
MESSAGE = "Waiting for b.local, which does not answer (No route to host)."
RANKS = (RankState(rank=0, host="a"), RankState(rank=1, host="b.local", stage="missing", error="No route to host"))
STATE = GroupState(stage="waiting", message=MESSAGE, backend="ring", ranks=RANKS, times_formed=2)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with bind("127.0.0.1", 0) as made:
        yield made


@pytest.fixture
def doorman(listener: socket.socket) -> Iterator[HttpDoorman]:
    made = HttpDoorman(listener, checked_access("127.0.0.1", KEY, (), ()), lambda: STATE, "http://127.0.0.1:9")
    yield made
    made.end()


@pytest.fixture
def url(listener: socket.socket, doorman: HttpDoorman) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def asked(url: str, path: str, method: str = "POST", key: str | None = KEY, **headers: str) -> httpx.Response:
    given = headers | ({"Authorization": f"Bearer {key}"} if key is not None else {})
    return httpx.request(method, f"{url}{path}", headers=given, json={} if method == "POST" else None, timeout=60)


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/v1/chat/completions", ("error", "message")),
        ("/v1/completions", ("error", "message")),
        ("/v1/responses", ("error", "message")),
        ("/v1/messages", ("error", "message")),
        ("/api/chat", ("error",)),
        ("/v1/models/x", ("error", "message")),
        ("/chat/completions", ("error", "message")),
    ],
)
def test_all_is_refused_with_the_sentence_in_the_shape_of_its_protocol(url: str, path: str, where: tuple[str]) -> None:
    answer = asked(url, path)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["connection"] == "close"  # the next request comes to whoever answers then
    told = answer.json()
    for name in where:
        told = told[name]
    assert told == MESSAGE


def test_health_and_the_group_tell_the_truth(url: str) -> None:
    assert asked(url, "/health", "GET", None).json() == {"status": "loading", "message": MESSAGE}
    assert GroupState.from_dict(asked(url, "/v1/group", "GET").json()) == STATE


def test_it_lets_nobody_in_whom_the_server_would_not(url: str) -> None:
    assert asked(url, "/v1/group", "GET", None).status_code == 401
    assert asked(url, "/v1/group", "GET", Host="evil.example").status_code == 403
    assert asked(url, "/v1/group", "GET", Origin="http://evil.example").status_code == 403
