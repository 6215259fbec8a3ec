"""Who may ask."""

import httpx
import pytest
from openai import AuthenticationError

from tests.server.live import KEY, Live, live_server
from tests.server.scripted import ScriptedDecoder, ScriptedPair

SAY_HELLO = {"messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x", KEY])
def test_missing_or_wrong_key_is_401(scripted: Live, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for method, path in [("GET", "/v1/models"), ("POST", "/v1/chat/completions"), ("GET", "/v1/speculation/stats")]:
        answer = httpx.request(method, scripted.url + path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert KEY not in answer.text


def test_openai_client_sees_an_authentication_error(scripted: Live) -> None:
    client = scripted.openai.with_options(api_key="nope")
    with pytest.raises(AuthenticationError, match="The API key is wrong"):
        client.models.list()


def test_bytes_that_are_no_ascii_in_the_key_are_401_not_500(scripted: Live) -> None:
    answer = httpx.get(f"{scripted.url}/v1/models", headers={"Authorization": "Bearer ключ".encode()})
    assert answer.status_code == 401


def test_health_needs_no_key(scripted: Live) -> None:
    answer = httpx.get(f"{scripted.url}/health")
    assert answer.status_code == 200
    assert answer.json()["status"] in ("loading", "ready")


def test_without_a_key_nobody_is_asked_for_one() -> None:
    with live_server(lambda progress: (ScriptedPair(), ScriptedDecoder()), api_key=None) as live:
        assert httpx.get(f"{live.url}/v1/models").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:80", "localhost.evil", "", "[::1", "192.168.0.9"]
)
@pytest.mark.parametrize("path", ["/health", "/v1/models"])
def test_foreign_host_is_403(scripted: Live, host: str, path: str) -> None:
    answer = scripted.http.get(path, headers={"Host": host})
    assert answer.status_code == 403
    assert answer.json()["error"]["type"] == "permission_error"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1", "[::1]:80", "localhost."])
def test_own_host_names_are_served(scripted: Live, host: str) -> None:
    assert scripted.http.get("/v1/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:1", "null", "file://", ""])
def test_foreign_origin_is_403_even_with_the_key(scripted: Live, origin: str) -> None:
    answer = scripted.http.post("/v1/chat/completions", json=SAY_HELLO, headers={"Origin": origin})
    assert answer.status_code == 403


def test_own_origin_is_served(scripted: Live) -> None:
    answer = scripted.http.post("/v1/chat/completions", json=SAY_HELLO, headers={"Origin": scripted.url})
    assert answer.status_code == 200
