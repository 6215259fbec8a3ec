"""A decoder that says what it is told, as slowly as it is told, and fails where it is told: for fault injection."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from mlx_spec.config import Exactness, SamplingParams
from mlx_spec.decoding.cache.blocks.prefixes import PrefixStats
from mlx_spec.decoding.cache.rows.widths import RowWidths
from mlx_spec.decoding.constraints.wanted import Constraint
from mlx_spec.decoding.steering import Steering
from mlx_spec.decoding.tally import StatsCounter
from mlx_spec.errors import PromptError, PromptTooLongError
from mlx_spec.events import (
    DraftedToken,
    EmittedToken,
    Event,
    FinishReason,
    GenerationFinished,
    PrefillProgress,
    RoundFinished,
    SpeculativeStats,
    TextDelta,
)
from mlx_spec.models.text.manner import ChatManner
from mlx_spec.models.text.options import PLAIN, ChatOptions
from mlx_spec.models.text.parts import CallFormat
from tests.tiny import byte_tokenizer

JSON_CALLS = CallFormat("<tool_call>", "</tool_call>", lambda text, tools: json.loads(text), "json_tools")


class ScriptedPair:
    """Stands in for a ModelPair: one token a character."""

    name = "scripted"
    target_name = "scripted-target"
    context_length = 1000
    drafters = ("ngram",)
    sampling: Mapping[str, float] = {}
    chat_manner = ChatManner(JSON_CALLS, True, ("<think>", "</think>"), {"tools", "enable_thinking"}.__contains__)

    @cached_property
    def tokenizer(self) -> Any:
        """For grammars, which nobody follows."""
        return byte_tokenizer()

    @property
    def vocab_size(self) -> int:
        """Of its tokenizer."""
        return len(self.tokenizer)

    def encode(self, text: str) -> list[int]:
        """The characters."""
        return [ord(character) for character in text]

    def encode_part(self, text: str) -> list[int]:
        """As `encode`."""
        return self.encode(text)

    def encode_chat(
        self, messages: list[dict[str, str]], *, continues: bool = False, options: ChatOptions = PLAIN
    ) -> list[int]:
        """The characters of all messages; a template that refuses `refuse me`."""
        text = "".join(message["content"] for message in messages)
        if text == "refuse me":
            raise PromptError("The model's chat template refuses these messages (roles must alternate).")
        return [ord(character) for character in text] or [0]

    def encode_next(self, messages: list[dict[str, str]], reply: str, options: ChatOptions = PLAIN) -> list[int]:
        """The characters of all that was said."""
        return [*self.encode_chat(messages), *map(ord, reply)]

    def encode_opening(self, messages: list[dict[str, str]], options: ChatOptions = PLAIN) -> list[int]:
        """Nothing that chats share."""
        return []

    def chat_note(self, messages: list[dict[str, str]]) -> str | None:
        """Nothing to tell but of a system message."""
        return "moved" if messages[0]["role"] == "system" else None


class ScriptedDecoder:
    """Says `words`, one a round. `fail_at` is the round that raises `error`, of prompts that say what `fails`;
    `delay_s` is how long each takes. `blocks` of the pool and `step_error` are for its ScriptedBatch."""

    context_length = ScriptedPair.context_length

    def __init__(self) -> None:
        self.warmed = 0
        self.measured = 0
        self.rewind()

    def rewind(self) -> None:
        """Back to a harmless script; what was seen is forgotten."""
        self.words: tuple[str, ...] = ("All ", "is ", "well.")
        self.delay_s = 0.0
        self.fail_at: int | None = None
        self.fails = ""
        self.error: Exception = RuntimeError("[metal::malloc] out of memory")
        self.calls: list[dict[str, Any]] = []
        self.settled = 0
        self.expected: list[tuple[list[int], ...]] = []
        self.cancels = 0
        self.step_error: BaseException | None = None
        self.blocks: int | None = None
        self.prompts: list[str] = []
        self.forgets = self.drops = 0
        self.forgotten: list[str] = []
        self.closed = 0
        self.begun = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self._stats = StatsCounter()

    def exactness(self) -> tuple[Exactness, RowWidths]:
        """As SpeculativeDecoder.exactness."""
        return "strict", self.row_widths

    @property
    def row_widths(self) -> RowWidths:
        """As SpeculativeDecoder.row_widths."""
        return RowWidths(6, tried=16)

    def expect(self, *texts: list[int], owner: str | None = None) -> None:
        """As SpeculativeDecoder.expect."""
        self.expected.append(texts)

    def settle(self) -> Iterator[None]:
        """As SpeculativeDecoder.settle, of one step behind an answer."""
        if self.settled < len(self.calls):
            self.settled = len(self.calls)
            yield

    def warm_up(self) -> Iterator[None]:
        """As SpeculativeDecoder.warm_up, of three steps."""
        for _ in range(3):
            self.warmed += 1
            yield

    def measure_wide(self) -> Iterator[None]:
        """As SpeculativeDecoder.measure_wide, of two steps."""
        for _ in range(2):
            self.measured += 1
            yield

    def stream(
        self,
        prompt_ids: list[int],
        params: SamplingParams,
        *,
        max_tokens: int,
        should_cancel: Callable[[], bool],
        drafter: str | None,
        lookahead: int | str | None,
        alternatives: int,
        steering: Steering,
        goes_on: bool,
        owner: str | None,
        constraint: Constraint | None,
        thinking_tokens: int | None,
        exactness: str | None = None,
        **more: Any,
    ) -> Iterator[Event]:
        """As SpeculativeDecoder.stream."""
        self.calls.append(
            {"prompt_ids": prompt_ids, "params": params, "max_tokens": max_tokens}
            | {"drafter": drafter, "lookahead": lookahead, "thread": threading.current_thread().name}
            | {"alternatives": alternatives, "steering": steering, "goes_on": goes_on, "owner": owner}
            | {"constraint": constraint, "thinking_tokens": thinking_tokens, "exactness": exactness}
            | more
        )
        steering.drafters = ("model", "ngram")
        if len(prompt_ids) >= self.context_length:
            raise PromptTooLongError(len(prompt_ids), self.context_length, ScriptedPair.target_name)
        self.prompts.append("".join(map(chr, prompt_ids)))
        return self._rounds(self.prompts[-1], params, max_tokens, should_cancel)

    def _rounds(
        self, prompt: str, params: SamplingParams, max_tokens: int, should_cancel: Callable[[], bool]
    ) -> Iterator[Event]:
        said: list[str] = []
        prompt_tokens = len(prompt)
        reason: FinishReason = "stop"
        try:
            yield PrefillProgress(prompt_tokens, prompt_tokens, 1.0)
            self.begun.set()
            for i, word in enumerate(self.words):
                self.gate.wait(10)
                time.sleep(self.delay_s)
                if i == self.fail_at and self.fails in prompt:
                    raise self.error
                if should_cancel():
                    self.cancels += 1
                    reason = "cancelled"
                    break
                if len(said) == max_tokens:
                    reason = "length"
                    break
                said.append(word)
                yield _round(i, word, prompt_tokens + i)
                if word:
                    yield TextDelta(word)
                self._stats.add(SpeculativeStats(rounds=1, total_tokens_generated=1, target_forward_passes=1))
            ids, text, stats = tuple(range(len(said))), "".join(said), self._stats.snapshot()
            yield GenerationFinished(reason, ids, text, params.seed or 7, prompt_tokens, 1.0, stats)
        finally:
            self.closed += 1

    ceiling = None

    def stats(self) -> SpeculativeStats:
        """As SpeculativeDecoder.stats."""
        return self._stats.snapshot()

    def reset_stats(self) -> SpeculativeStats:
        """As SpeculativeDecoder.reset_stats."""
        return self._stats.reset()

    def prefix_stats(self) -> PrefixStats:
        """It keeps nothing."""
        return PrefixStats()

    def drop_prefixes(self) -> None:
        """Only counts: there is nothing to free."""
        self.drops += 1

    def forget_prefixes(self, owner: str | None = None) -> None:
        """Only counts, and notes the owners: there is nothing to forget."""
        if owner is None:
            self.forgets += 1
        else:
            self.forgotten.append(owner)


def _round(index: int, word: str, position: int) -> RoundFinished:
    drafted = (DraftedToken(index, word, float("nan"), 0.5, "rejected", -1),)
    emitted = (EmittedToken(index, word, "correction", 0.25, None, position),)
    return RoundFinished(index, "model", 1, "a script", 2, drafted, emitted, 1.0, 2.0, 3.0)
