"""What the engine serves: a pair of models with its decoder, and the batch of its answers, as far as it knows them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, Unpack

from mlx_spec.batching.entry import Priority
from mlx_spec.batching.metrics import Metrics
from mlx_spec.batching.scheduler import Scheduler
from mlx_spec.batching.settings import BatchSettings
from mlx_spec.config import Exactness, SamplingParams
from mlx_spec.decoding.cache.blocks.prefixes import PrefixStats
from mlx_spec.decoding.cache.rows.widths import RowWidths
from mlx_spec.decoding.measuring.ceiling import Ceiling
from mlx_spec.decoding.request import AnswerOptions
from mlx_spec.decoding.steering import Steering
from mlx_spec.events import Event, SpeculativeStats
from mlx_spec.models.text.manner import ChatManner
from mlx_spec.models.text.options import PLAIN, ChatOptions

Progress = Callable[[str, float], None]
"""Hears of a stage, and how much of it is done (0..1)."""


class Pair(Protocol):
    """What the engine asks of a loaded pair of models."""

    @property
    def name(self) -> str: ...

    @property
    def target_name(self) -> str: ...

    @property
    def context_length(self) -> int | None: ...

    @property
    def drafters(self) -> tuple[str, ...]: ...

    @property
    def tokenizer(self) -> Any: ...

    @property
    def vocab_size(self) -> int: ...

    def encode(self, text: str) -> list[int]: ...

    @property
    def sampling(self) -> Mapping[str, float]: ...

    def encode_chat(
        self, messages: list[dict[str, Any]], *, continues: bool = False, options: ChatOptions = PLAIN
    ) -> list[int]: ...

    def encode_part(self, text: str) -> list[int]: ...

    def encode_next(self, messages: list[dict[str, Any]], reply: str, options: ChatOptions = PLAIN) -> list[int]: ...

    def encode_opening(self, messages: list[dict[str, Any]], options: ChatOptions = PLAIN) -> list[int]: ...

    @property
    def chat_manner(self) -> ChatManner: ...

    def chat_note(self, messages: list[dict[str, str]]) -> str | None: ...

    def decode(self, token_ids: list[int]) -> str: ...


class Decoder(Protocol):
    """What the engine asks of a decoder; `mlx_spec.decoder.SpeculativeDecoder` is the real one."""

    def warm_up(self) -> Iterator[None]: ...

    def measure_wide(self) -> Iterator[None]: ...

    def expect(self, *texts: list[int], owner: str | None) -> None: ...

    def settle(self) -> Iterator[None]: ...

    def stats(self) -> SpeculativeStats: ...

    def reset_stats(self) -> object: ...

    def prefix_stats(self) -> PrefixStats: ...

    def drop_prefixes(self) -> None: ...

    def forget_prefixes(self, owner: str | None = None) -> None: ...

    @property
    def ceiling(self) -> Ceiling | None: ...

    def exactness(self) -> tuple[Exactness, RowWidths]: ...

    @property
    def row_widths(self) -> RowWidths | None: ...


class Batch(Protocol):
    """What the engine asks of a batch; `mlx_spec.batching.batch.Batch` is the real one."""

    def add(
        self,
        request_id: str,
        prompt_ids: list[int],
        params: SamplingParams,
        max_tokens: int,
        *,
        priority: Priority,
        deadline_ms: float | None,
        steering: Steering,
        **options: Unpack[AnswerOptions],
    ) -> None: ...

    def step(self) -> list[tuple[str, Event]]: ...

    def cancel(self, request_id: str) -> None: ...

    def report(self) -> dict[str, Any]: ...

    @property
    def is_idle(self) -> bool: ...

    @property
    def scheduler(self) -> Scheduler: ...

    @property
    def metrics(self) -> Metrics: ...


BatchMaker = Callable[[Decoder, BatchSettings], Batch]
"""Makes the batch of a decoder that was loaded."""


Loader = Callable[[Progress], tuple[Pair, Decoder]]
"""Loads the models, which takes seconds to minutes. Raises LookaheadError."""
