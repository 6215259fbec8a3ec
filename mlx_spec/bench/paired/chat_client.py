"""A client of an OpenAI-compatible server that watches the clock while an answer streams in."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx2

from mlx_spec.errors import LookaheadError

_CONNECT_S: Final = 10.0
_READ_S: Final = 600.0
_CONTENT: Final = ("content",)
_TEXTS: Final = ("reasoning_content", "reasoning", *_CONTENT)
_REFUSED: Final = (400, 422)
BUSY: Final = 429
_SHOWN: Final = 300


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """The whole text, with what some servers keep apart as reasoning; tokens as the server counts them, None where it
    does not tell; seconds from the question to the first and to the last text, None where there was none. `content` is
    the text without the reasoning; of `prompt_tokens` the server knew `cached_tokens` before, None as above."""

    text: str
    tokens: int | None
    first_text_s: float | None
    last_text_s: float | None
    content: str = ""
    prompt_tokens: int | None = None
    cached_tokens: int | None = None


class BusyServerError(LookaheadError):
    """The server answers as many as it can, and says that it takes no more."""


class _RefusedError(LookaheadError):
    """The server does not take the body as it is."""


class ChatClient:
    """Asks the server at `url`, with or without `/v1` at its end. `close` it, or use it in a `with`.

    Every method raises LookaheadError, in a sentence, where the server is not there or refuses.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        key: str | None = None,
        transport: httpx2.BaseTransport | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise LookaheadError(f"{url!r} is no address of a server: write it as http://127.0.0.1:8080.")
        self.url = url.rstrip("/").removesuffix("/v1").rstrip("/")
        self._model = model
        self._clock = clock
        self._wants_usage = True
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # A proxy has no part in what is measured here.
        timeout = httpx2.Timeout(_READ_S, connect=_CONNECT_S)
        self._http = httpx2.Client(headers=headers, timeout=timeout, transport=transport, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ended: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def model(self) -> str:
        """The model that is asked: the one that was named, else the first that the server lists."""
        if self._model is None:
            try:
                with self._told():
                    listed = [str(one["id"]) for one in self.get("/v1/models")["data"]]
            except LookaheadError as error:
                advice = f"{error} Where it runs, it does not list its models: name one with --beside-model."
                raise LookaheadError(advice, details=error.details) from error
            if not listed:
                raise LookaheadError(f"The server at {self.url} lists no model: name one with --beside-model.")
            self._model = listed[0]
        return self._model

    def get(self, path: str) -> dict[str, Any]:
        """The JSON object at a path."""
        with self._told():
            response = self._http.get(self.url + path)
            self._check(response)
            found: dict[str, Any] = response.json()
            return found

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The JSON object that answers one."""
        with self._told():
            response = self._http.post(self.url + path, json=body)
            self._check(response)
            found: dict[str, Any] = response.json()
            return found

    def answer(self, text: str, temperature: float, max_tokens: int) -> StreamedAnswer:
        """Ask one question and read the answer as it comes."""
        return self.reply([{"role": "user", "content": text}], temperature, max_tokens)

    def reply(self, messages: Sequence[Mapping[str, str]], temperature: float, max_tokens: int) -> StreamedAnswer:
        """Ask what ends a conversation, as above."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "temperature": temperature,
            "max_tokens": max_tokens,
            "stream": True,
        }
        if self._wants_usage:
            answer = self._streamed(body | {"stream_options": {"include_usage": True}}, may_refuse=True)
            if answer is not None:
                return answer
            self._wants_usage = False
        answer = self._streamed(body, may_refuse=False)
        assert answer is not None, "what may not be refused is answered or raises"
        return answer

    def _streamed(self, body: dict[str, Any], *, may_refuse: bool) -> StreamedAnswer | None:
        """The answer; None where the server refuses the body and `may_refuse`."""
        pieces: list[str] = []
        contents: list[str] = []
        usage: dict[str, Any] = {}
        first: float | None = None
        last: float | None = None
        began = self._clock()
        try:
            for chunk in self.chunks(body):
                if piece := text_of(chunk):
                    last = self._clock() - began
                    first = last if first is None else first
                    pieces.append(piece)
                    contents.append(text_of(chunk, _CONTENT))
                usage = chunk.get("usage") or usage
        except _RefusedError:
            if may_refuse:
                return None
            raise
        with self._told():
            details = usage.get("prompt_tokens_details") or {}
            counts = (usage.get("prompt_tokens"), details.get("cached_tokens"))
            tokens = int(usage["completion_tokens"]) if usage else None
        return StreamedAnswer("".join(pieces), tokens, first, last, "".join(contents), *counts)

    def chunks(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The objects of a streamed chat completion as they come; any thread may ask while others do."""
        with self._told(), self._http.stream("POST", f"{self.url}/v1/chat/completions", json=body) as response:
            if response.is_error:
                response.read()
            self._check(response)
            for chunk in _chunks(response.iter_lines()):
                if "error" in chunk:
                    raise LookaheadError(f"The server at {self.url} broke off its answer: {_message(chunk)}")
                yield chunk

    def _check(self, response: httpx2.Response) -> None:
        if response.is_error:
            try:
                said = _message(response.json())
            except ValueError:
                said = response.text.strip()[:_SHOWN] or response.reason_phrase
            kind = _RefusedError if response.status_code in _REFUSED else LookaheadError
            kind = BusyServerError if response.status_code == BUSY else kind
            raise kind(f"The server at {self.url} refuses with status {response.status_code}: {said}")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (httpx2.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = str(error) or type(error).__name__
            raise LookaheadError(
                f"The server at {self.url} cannot be measured ({reason}): is it an OpenAI-compatible server, and does "
                "it run?",
                details=repr(error),
            ) from error


def _chunks(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The objects of a stream of server-sent events; comments and the closing mark are none."""
    for line in lines:
        data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
        if data == "[DONE]":
            return
        if data:
            yield json.loads(data)


def text_of(chunk: dict[str, Any], names: Sequence[str] = _TEXTS) -> str:
    """What a chunk says, with what some servers keep apart as reasoning."""
    delta = next((choice.get("delta") or {} for choice in chunk.get("choices") or ()), {})
    return "".join(delta.get(name) or "" for name in names)


def _message(body: Any) -> str:
    error = body.get("error", body.get("detail", body)) if isinstance(body, dict) else body
    said = error.get("message", error) if isinstance(error, dict) else error
    return str(said)[:_SHOWN]
