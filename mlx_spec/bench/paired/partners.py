"""Whom a chat is held with: a decoder in this process, or a server. Both tell the wait for the first text."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from mlx_spec.bench.paired.chat_client import StreamedAnswer
from mlx_spec.bench.paired.chats import Message
from mlx_spec.config import SamplingParams
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.events import GenerationFinished, PrefillProgress, TextDelta
from mlx_spec.models.loading import ModelPair

_UNLIMITED_BYTES: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as the chat goes on from it, and its measures, which are those of `PairedRun`."""

    content: str
    tokens: int
    timed_tokens: int
    seconds: float
    first_text_seconds: float | None
    rounds: int | None = None
    token_ids: tuple[int, ...] | None = None
    text: str | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None


class Partner(Protocol):
    """Answers the last message of a conversation."""

    def reply(self, messages: Sequence[Message], temperature: float, seed: int, max_tokens: int) -> Reply: ...


class DecoderPartner:
    """A decoder of this process: `cold`, or with the readings of all chats, however many, in `prefixes`.

    It is calibrated, warmed up, and settles what it said, as an idle server does.
    """

    def __init__(
        self, pair: ModelPair, *, cold: bool, tell: Callable[[str, float], None] = lambda stage, fraction: None
    ) -> None:
        self._pair = pair
        self.prefixes = None if cold else Prefixes(_UNLIMITED_BYTES)
        self._decoder = SpeculativeDecoder(pair, prefixes=self.prefixes)
        self._decoder.calibrate(tell)
        for _ in self._decoder.warm_up():
            pass

    def reply(self, messages: Sequence[Message], temperature: float, seed: int, max_tokens: int) -> Reply:
        """The answer of `SpeculativeDecoder.stream`. The clock starts before the template, as a server's does."""
        began, first, cached = time.perf_counter(), None, 0
        ids = self._pair.encode_chat(messages)
        for event in self._decoder.stream(ids, SamplingParams(temperature=temperature, seed=seed), max_tokens):
            if isinstance(event, TextDelta) and first is None:
                first = time.perf_counter() - began
            elif isinstance(event, PrefillProgress):
                cached = event.cached_tokens
            elif isinstance(event, GenerationFinished):
                stats = event.stats
                self._settle(messages, event.text)
                return Reply(
                    event.text,
                    tokens=stats.total_tokens_generated,
                    timed_tokens=stats.total_tokens_generated,
                    seconds=stats.total_time_ms / 1e3,
                    first_text_seconds=first,
                    rounds=stats.rounds,
                    token_ids=event.token_ids,
                    prompt_tokens=len(ids),
                    cached_tokens=cached,
                )
        raise AssertionError("a stream ends with GenerationFinished")

    def _settle(self, messages: Sequence[Message], said: str) -> None:
        """As an idle server does, while a person reads."""
        if self.prefixes is not None and said:
            self._decoder.expect(self._pair.encode_next(messages, said))
        for _ in self._decoder.settle():
            pass


class Replies(Protocol):
    """What is asked of a server; `ChatClient` is the real one."""

    def reply(self, messages: Sequence[Message], temperature: float, max_tokens: int) -> StreamedAnswer: ...


class ServerPartner:
    """A server, whose seed nobody chooses. `count` counts the tokens of a text for one that does not."""

    def __init__(self, client: Replies, count: Callable[[str], int]) -> None:
        self._client, self._count = client, count

    def reply(self, messages: Sequence[Message], temperature: float, seed: int, max_tokens: int) -> Reply:
        """As a client sees it stream in."""
        answer = self._client.reply(messages, temperature, max_tokens)
        tokens = answer.tokens if answer.tokens is not None else self._count(answer.text)
        return Reply(
            answer.content,
            tokens=tokens,
            timed_tokens=max(0, tokens - 1),
            seconds=(answer.last_text_s or 0.0) - (answer.first_text_s or 0.0),
            first_text_seconds=answer.first_text_s,
            text=answer.text,
            prompt_tokens=answer.prompt_tokens,
            cached_tokens=answer.cached_tokens,
        )
