"""Who may ask."""

from collections.abc import Iterator

import httpx
import pytest
from openai import AuthenticationError

from mlx_spec.errors import ServerError
from mlx_spec.server.guard import LOOPBACK_NAMES, checked_hosts, checked_origins
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


def test_an_origin_that_is_no_address_is_403(scripted: Live) -> None:
    answer = scripted.http.get("/v1/models", headers={"Origin": "http://[::1"})
    assert answer.status_code == 403


PAGE = "http://localhost:3000"
PREFLIGHT = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
    "Access-Control-Request-Private-Network": "true",
}


@pytest.fixture(scope="module")
def open_server() -> Iterator[Live]:
    """A server that lets the pages of one other port in, and answers to one more name."""
    access = {"allowed_origins": [PAGE], "allowed_hosts": {*LOOPBACK_NAMES, "host.docker.internal"}}
    with live_server(lambda progress: (ScriptedPair(), ScriptedDecoder()), **access) as live:
        yield live


def test_a_browser_may_ask_leave_without_the_key(open_server: Live) -> None:
    answer = httpx.options(f"{open_server.url}/v1/chat/completions", headers=PREFLIGHT)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert answer.headers["access-control-allow-private-network"] == "true"


def test_a_page_that_is_allowed_can_read_answers_and_refusals(open_server: Live) -> None:
    answer = open_server.http.post("/v1/chat/completions", json=SAY_HELLO, headers={"Origin": PAGE})
    assert answer.status_code == 200
    refused = httpx.get(f"{open_server.url}/v1/models", headers={"Origin": PAGE})
    assert refused.status_code == 401
    for told in (answer, refused):
        assert told.headers["access-control-allow-origin"] == PAGE
        assert "x-request-id" in told.headers["access-control-expose-headers"]
        assert "Origin" in told.headers["vary"]


@pytest.mark.parametrize("origin", ["http://localhost:3001", "https://localhost:3000", "null", "http://evil.example"])
def test_a_page_that_is_not_allowed_is_403_and_told_nothing(open_server: Live, origin: str) -> None:
    for method in ("OPTIONS", "POST"):
        headers = PREFLIGHT | {"Origin": origin}
        answer = open_server.http.request(method, "/v1/chat/completions", json=SAY_HELLO, headers=headers)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


def test_a_name_that_is_allowed_is_served_and_no_other(open_server: Live) -> None:
    assert open_server.http.get("/v1/models", headers={"Host": "host.docker.internal:8765"}).status_code == 200
    assert open_server.http.get("/v1/models", headers={"Host": "docker.internal"}).status_code == 403


def test_without_leave_no_answer_speaks_of_other_pages(scripted: Live) -> None:
    answer = scripted.http.post("/v1/chat/completions", json=SAY_HELLO, headers={"Origin": scripted.url})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert scripted.http.options("/v1/chat/completions", headers=PREFLIGHT).status_code == 403


def test_what_is_allowed_is_written_as_browsers_write_it() -> None:
    assert checked_origins(["HTTP://LocalHost:3000/", "app://obsidian.md"], has_key=False) == {
        "http://localhost:3000",
        "app://obsidian.md",
    }
    assert checked_origins(["*", "null"], has_key=True) == {"*", "null"}
    assert checked_hosts(["Box.local:8765", "[fd00::1]"], has_key=False) == {"box.local", "fd00::1"}
    assert checked_hosts(["*"], has_key=True) is None


@pytest.mark.parametrize("origin", ["*", "null", "localhost:3000", "http://", "http://a/b", "http://[::1", ""])
def test_an_origin_that_says_nothing_or_lets_everybody_in_is_refused(origin: str) -> None:
    with pytest.raises(ServerError, match="--allow-origin"):
        checked_origins([origin], has_key=False)


@pytest.mark.parametrize("name", ["*", "", "http://box.local", "[::1"])
def test_a_host_that_is_no_name_or_every_name_is_refused(name: str) -> None:
    with pytest.raises(ServerError, match="--allow-host"):
        checked_hosts([name], has_key=False)
