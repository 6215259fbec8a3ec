"""Addresses as clients write them, and the id of each request."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from mlx_spec.server.api import create_app
from tests.server.live import Live

HELLO = {"messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize("path", ["/v1/models/", "/models", "/models/", "/v1/models/scripted/", "/models/scripted"])
def test_models_are_found_with_a_slash_behind_and_without_the_v1(scripted: Live, path: str) -> None:
    answer = scripted.http.get(path)
    assert answer.status_code == 200
    assert answer.json() == scripted.http.get("/v1/models" + ("/scripted" if "scripted" in path else "")).json()


@pytest.mark.parametrize("path", ["/chat/completions", "/v1/chat/completions/", "/chat/completions/"])
def test_chats_are_answered_with_a_slash_behind_and_without_the_v1(scripted: Live, path: str) -> None:
    assert scripted.http.post(path, json=HELLO).json()["choices"][0]["message"]["content"] == "All is well."


def test_completions_are_answered_without_the_v1(scripted: Live) -> None:
    assert scripted.http.post("/completions", json={"prompt": "a"}).json()["object"] == "text_completion"


@pytest.mark.parametrize("path", ["/v1/models", "/health", "/api/tags", "/v1/responses/x"])
def test_head_and_options_tell_of_an_address_without_its_body(scripted: Live, path: str) -> None:
    told = scripted.http.options(path)
    assert (told.status_code, told.content) == (204, b"")
    assert "GET" in told.headers["allow"]
    head, whole = scripted.http.head(path), scripted.http.get(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")


def test_a_greeting_stands_at_the_root(scripted: Live) -> None:
    assert scripted.http.get("/").text == "Lookahead is running"


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/tokenize", "/v1/v1/models"])
def test_other_addresses_stay_unknown(scripted: Live, path: str) -> None:
    assert scripted.http.get(path).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"), [("OPTIONS", "*"), ("GET", "*"), ("GET", "models"), ("CONNECT", "host:443")]
)
def test_an_address_without_a_slash_before_it_is_unknown_too(scripted: Live, method: str, path: str) -> None:
    app = create_app(scripted.engine, api_key=None, model_name="scripted")
    headers = [(b"host", b"127.0.0.1"), (b"x-request-id", b"abc-123")]
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers}
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 404
    assert (b"x-request-id", b"abc-123") in sent[0]["headers"]
    told = json.loads(b"".join(message.get("body", b"") for message in sent[1:]))
    assert "is not served here" in told["error"]["message"]


def test_an_address_without_the_v1_asks_for_the_key_as_well(scripted: Live) -> None:
    for path in ("/models", "/models/", "/health/../models"):
        assert httpx.get(scripted.url + path).status_code in (401, 404)


def test_the_clients_id_is_echoed_and_another_made_where_there_is_none(scripted: Live) -> None:
    given = scripted.http.get("/v1/models", headers={"X-Request-Id": "abc-123"})
    assert given.headers["x-request-id"] == "abc-123"
    made = [scripted.http.post("/chat/completions", json=HELLO).headers["x-request-id"] for _ in range(2)]
    assert made[0] != made[1]
    assert all(one.startswith("req-") for one in made)


@pytest.mark.parametrize("strange", [b"", b"two words", b"x" * 201, b"\xe9"])
def test_an_id_that_is_none_is_not_echoed(scripted: Live, strange: bytes) -> None:
    answer = scripted.http.get("/v1/models", headers={b"X-Request-Id": strange})
    assert answer.headers["x-request-id"].startswith("req-")


def test_refusals_have_an_id_too(scripted: Live) -> None:
    assert httpx.get(f"{scripted.url}/v1/models").headers["x-request-id"]
    assert scripted.http.get("/v1/models", headers={"Host": "evil.example"}).headers["x-request-id"]
