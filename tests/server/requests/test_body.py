"""Bodies as clients send them: compressed in the ways of HTTP, and never unpacked beyond the limit."""

import gzip
import json
import socket
import zlib
from collections.abc import Callable

import httpx
import pytest

from mlx_spec.server.requests import body
from tests.server.live import KEY, Live

HELLO = json.dumps({"messages": [{"role": "user", "content": "hello " * 50}]}).encode()


def raw_deflate(plain: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(plain) + packer.flush()


def two_members(plain: bytes) -> bytes:
    return gzip.compress(plain[:100]) + gzip.compress(plain[100:])


def post(live: Live, content: bytes, encoding: str) -> httpx.Response:
    return live.http.post("/v1/chat/completions", content=content, headers={"Content-Encoding": encoding})


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("X-Gzip", gzip.compress),
        ("gzip", two_members),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("identity", bytes),
        ("identity, gzip", gzip.compress),
    ],
)
def test_a_compressed_body_is_read(scripted: Live, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    assert post(scripted, pack(HELLO), encoding).json()["usage"]["prompt_tokens"] == 300


@pytest.mark.parametrize(
    ("encoding", "content", "part"),
    [
        ("gzip", HELLO, "is not compressed as its Content-Encoding says"),
        ("deflate", HELLO, "is not compressed as its Content-Encoding says"),
        ("gzip", gzip.compress(HELLO, mtime=0)[:-9], "it ends too early"),
        ("gzip", b"", "it ends too early"),
        ("deflate", zlib.compress(HELLO) + b"more", "something follows its end"),
        ("br", HELLO, "encoded as br: send it plain, or as gzip or deflate"),
        ("gzip, gzip", HELLO, "encoded as gzip, gzip"),
    ],
    # Names of the content would differ between workers that start a second apart.
    ids=["no gzip", "no deflate", "cut gzip", "no content", "more behind deflate", "br", "gzip twice"],
)
def test_what_cannot_be_unpacked_is_400_in_one_sentence(
    scripted: Live, encoding: str, content: bytes, part: str
) -> None:
    answer = post(scripted, content, encoding)
    assert answer.status_code == 400
    assert part in answer.json()["error"]["message"]


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", raw_deflate)])
def test_the_limit_is_that_of_what_was_unpacked(
    scripted: Live, monkeypatch: pytest.MonkeyPatch, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(body, "BODY_LIMIT_BYTES", 2**20)
    answer = post(scripted, pack(b" " * 2**21 + HELLO), encoding)
    assert answer.status_code == 400
    assert "over 1 MB" in answer.json()["error"]["message"]
    assert post(scripted, pack(b" " * (2**20 - len(HELLO)) + HELLO), encoding).json()["usage"]["prompt_tokens"] > 0


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_the_routes_of_models_read_compressed_bodies_too(
    scripted: Live, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    headers = {"Content-Encoding": encoding}
    named = scripted.http.post("/v1/models/downloads", content=pack(b'{"name": "nonsense"}'), headers=headers)
    assert named.status_code == 404
    assert "not a model of the Hub" in named.json()["error"]["message"]
    nameless = scripted.http.post("/v1/models/downloads", content=pack(b"[]"), headers=headers)
    assert nameless.status_code == 400
    assert "name is missing" in nameless.json()["error"]["message"]


def test_a_body_that_never_ends_is_408_and_its_connection_is_closed(
    scripted: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "BODY_LIMIT_S", 0.05)
    host = scripted.url.removeprefix("http://")
    lines = ["POST /v1/chat/completions HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {KEY}"]
    with socket.create_connection((host.split(":")[0], int(host.split(":")[1])), timeout=60) as client:
        client.sendall("\r\n".join([*lines, "Content-Length: 999", "", "{"]).encode())
        with client.makefile("rb") as said:
            head, told = said.read().split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(told)["error"]["message"] == (
        "The request body did not come to its end within 0.05 s: send all that was announced."
    )
    assert post(scripted, HELLO, "identity").status_code == 200
