"""The body of a request: JSON, plain or compressed."""

import asyncio
import json
import zlib
from typing import Any, Final, Protocol

from starlette.requests import Request

from mlx_spec.server.engine.job import Failure, JobFailed
from mlx_spec.server.requests.validation import RequestError

BODY_LIMIT_BYTES: Final = 32 * 1024 * 1024
BODY_LIMIT_S: Final = 120.0
"""Time enough for the longest body over a slow network: a client that stops within its own holds a connection."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS


class _Reader(Protocol):
    def read(self, piece: bytes, room: int) -> bytes:
        """What `piece` says, of which no more than `room` bytes and one are made. Raises zlib.error."""

    def end(self) -> None:
        """Raise zlib.error where the body ended too early."""


async def read_json(request: Request) -> Any:
    """The body as JSON. Raises RequestError when it is too long, compressed wrongly or in a way that is not known, or
    no JSON, and JobFailed when it does not come to an end."""
    reader = _reader(request.headers.getlist("content-encoding"))
    try:
        async with asyncio.timeout(BODY_LIMIT_S):
            body = await _read(request, reader)
    except TimeoutError:
        message = f"The request body did not come to its end within {BODY_LIMIT_S:g} s: send all that was announced."
        raise JobFailed(Failure("expired", message)) from None
    try:
        return json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise RequestError(f"The request body is not valid JSON: {error}.") from None


async def _read(request: Request, reader: _Reader) -> bytearray:
    """The plain bytes. The rest of a body that is too long is read and dropped, so that the client gets to the answer;
    what is compressed is not unpacked beyond the limit, whatever it would become."""
    body = bytearray()
    length = 0
    async for piece in request.stream():
        length += len(piece)
        if length > 4 * BODY_LIMIT_BYTES:
            break
        if len(body) <= BODY_LIMIT_BYTES:
            try:
                body += reader.read(piece, BODY_LIMIT_BYTES - len(body))
            except zlib.error as error:
                raise RequestError(
                    f"The request body is not compressed as its Content-Encoding says: {error}."
                ) from None
    if len(body) > BODY_LIMIT_BYTES or length > 4 * BODY_LIMIT_BYTES:
        raise RequestError(f"The request body is over {BODY_LIMIT_BYTES // 2**20} MB: send a shorter one.")
    try:
        reader.end()
    except zlib.error as error:
        raise RequestError(f"The request body is not compressed as its Content-Encoding says: {error}.") from None
    return body


def _reader(encodings: list[str]) -> _Reader:
    said = [name.strip().lower() for value in encodings for name in value.split(",")]
    match [name for name in said if name not in ("", "identity")]:
        case []:
            return _Plain()
        case ["gzip" | "x-gzip"]:
            return _Compressed(_GZIP)
        case ["deflate"]:
            return _Compressed(zlib.MAX_WBITS)
        case names:
            raise RequestError(
                f"The request body is encoded as {', '.join(names)}: send it plain, or as gzip or deflate."
            )


class _Plain:
    def read(self, piece: bytes, room: int) -> bytes:
        return piece[: room + 1]

    def end(self) -> None:
        pass


class _Compressed:
    """`window` is zlib's number for a format. A gzip file may have several members, and some clients mean raw deflate
    where they say deflate, which by the standard has zlib's head."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._begun = b""
        self._unpack = zlib.decompressobj(window)

    def read(self, piece: bytes, room: int) -> bytes:
        plain = bytearray()
        if self._window == zlib.MAX_WBITS and len(self._begun) < 2:
            piece, self._begun = self._begun + piece, self._begun + piece
            if len(piece) < 2:
                return b""
            if piece[0] & 15 != zlib.DEFLATED or int.from_bytes(piece[:2]) % 31:
                self._unpack = zlib.decompressobj(_RAW)
        while piece and len(plain) <= room:
            plain += self._unpack.decompress(piece, room + 1 - len(plain))
            piece = self._unpack.unconsumed_tail
            if self._unpack.eof:
                piece = self._unpack.unused_data
                if not piece:
                    break
                if self._window != _GZIP:
                    raise zlib.error("something follows its end")
                self._unpack = zlib.decompressobj(_GZIP)
        return bytes(plain)

    def end(self) -> None:
        if not self._unpack.eof:
            raise zlib.error("it ends too early")
