"""Who asks a server: the `openai` package, as its people do, where it is installed, else our own client.

Both are read piece by piece; what is made of the pieces, and the clock, is the same for both.
"""

import importlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from mlx_spec.bench.paired.chat_client import BUSY, BusyServerError, ChatClient, text_of
from mlx_spec.bench.paired.chats import Message
from mlx_spec.errors import LookaheadError

OPENAI: Final = "openai"
OWN: Final = "httpx2"
_WAIT_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Piece:
    """What came at once: text, which may be none, and the counts of the answer, where the server tells them."""

    text: str
    tokens: int | None = None
    prompt_tokens: int | None = None


class Client(Protocol):
    """Reads one answer; any thread may ask while others do."""

    def pieces(self, messages: Sequence[Message], max_tokens: int, more: Mapping[str, Any]) -> Iterator[Piece]:
        """The answer at temperature 0, as it comes; `more` are further fields of the request. Raises LookaheadError,
        BusyServerError where the server takes no more."""
        ...

    def close(self) -> None:
        """Break off what is under way, and raise there."""
        ...


def library() -> str:
    """Which one `client_of` takes."""
    return OPENAI if importlib.util.find_spec(OPENAI) is not None else OWN


def client_of(chat: ChatClient, key: str | None = None) -> Client:
    """A client of the server that `chat` knows, with its address, its model and its key."""
    return OpenAIClient(chat.url, chat.model, key) if library() == OPENAI else OwnClient(chat)


class OwnClient:
    """Asks through a ChatClient."""

    def __init__(self, chat: ChatClient) -> None:
        self._chat = chat

    def close(self) -> None:
        """As `Client` has it."""
        self._chat.close()

    def pieces(self, messages: Sequence[Message], max_tokens: int, more: Mapping[str, Any]) -> Iterator[Piece]:
        """As `Client` has it."""
        options = {"temperature": 0.0, "max_tokens": max_tokens, "stream_options": {"include_usage": True}}
        body = {"model": self._chat.model, "messages": list(messages), "stream": True, **options, **more}
        for chunk in self._chat.chunks(body):
            usage = chunk.get("usage") or {}
            yield Piece(text_of(chunk), usage.get("completion_tokens"), usage.get("prompt_tokens"))


class OpenAIClient:
    """Asks through the `openai` package, which asks once and through no proxy."""

    def __init__(self, url: str, model: str, key: str | None = None) -> None:
        openai = importlib.import_module(OPENAI)  # a package of the tests': who has it, measures with it
        self._url, self._model, self._error = url, model, openai.OpenAIError
        self._client: Any = openai.OpenAI(
            base_url=f"{url}/v1",
            api_key=key or "none",
            max_retries=0,
            timeout=_WAIT_S,
            http_client=openai.DefaultHttpxClient(trust_env=False),
        )

    def close(self) -> None:
        """As `Client` has it."""
        self._client.close()

    def pieces(self, messages: Sequence[Message], max_tokens: int, more: Mapping[str, Any]) -> Iterator[Piece]:
        """As `Client` has it."""
        told: Any = list(messages)  # its own types for what are plain dictionaries
        try:
            stream = self._client.chat.completions.create(
                model=self._model,
                messages=told,
                temperature=0.0,
                max_tokens=max_tokens,
                stream=True,
                stream_options={"include_usage": True},
                extra_body=dict(more),
            )
            for chunk in stream:
                usage = chunk.usage
                text = "".join(_said(choice.delta) for choice in chunk.choices[:1])
                yield Piece(text, usage.completion_tokens, usage.prompt_tokens) if usage else Piece(text)
        except (self._error, ValueError) as error:
            kind = BusyServerError if getattr(error, "status_code", None) == BUSY else LookaheadError
            raise kind(f"The server at {self._url} failed: {error}", details=repr(error)) from error
        except Exception as error:
            # It lets through what its HTTP library raises in the middle of a stream.
            if type(error).__module__.partition(".")[0] not in ("httpx", "httpcore"):
                raise
            raise LookaheadError(f"The server at {self._url} broke off: {error!r}", details=repr(error)) from error


def _said(delta: Any) -> str:
    return text_of({"choices": [{"delta": {"content": delta.content, **(delta.model_extra or {})}}]})
