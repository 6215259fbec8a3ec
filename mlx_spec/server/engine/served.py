"""What the engine serves: a pair of models with its decoder, as far as it knows them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from mlx_spec.config import SamplingParams
from mlx_spec.decoding.cache.blocks.prefixes import PrefixStats
from mlx_spec.decoding.ceiling import Ceiling
from mlx_spec.decoding.steering import Steering
from mlx_spec.events import Event, SpeculativeStats
from mlx_spec.server.engine.job import DrafterChoice, LookaheadChoice

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

    def encode(self, text: str) -> list[int]: ...

    @property
    def sampling(self) -> Mapping[str, float]: ...

    def encode_chat(self, messages: list[dict[str, Any]], *, continues: bool = False) -> list[int]: ...

    def encode_next(self, messages: list[dict[str, Any]], reply: str) -> list[int]: ...

    def encode_opening(self, messages: list[dict[str, Any]]) -> list[int]: ...

    def chat_note(self, messages: list[dict[str, str]]) -> str | None: ...

    def decode(self, token_ids: list[int]) -> str: ...


class Decoder(Protocol):
    """What the engine asks of a decoder; `mlx_spec.decoder.SpeculativeDecoder` is the real one."""

    def stream(
        self,
        prompt_ids: list[int],
        params: SamplingParams,
        *,
        max_tokens: int,
        should_cancel: Callable[[], bool],
        drafter: DrafterChoice | None,
        lookahead: LookaheadChoice | None,
        alternatives: int,
        steering: Steering,
        goes_on: bool,
        owner: str | None,
    ) -> Iterator[Event]: ...

    def warm_up(self) -> Iterator[None]: ...

    def expect(self, *texts: list[int]) -> None: ...

    def settle(self) -> Iterator[None]: ...

    def stats(self) -> SpeculativeStats: ...

    def reset_stats(self) -> object: ...

    def prefix_stats(self) -> PrefixStats: ...

    def drop_prefixes(self) -> None: ...

    def forget_prefixes(self, owner: str | None = None) -> None: ...

    @property
    def ceiling(self) -> Ceiling | None: ...


Loader = Callable[[Progress], tuple[Pair, Decoder]]
"""Loads the models, which takes seconds to minutes. Raises LookaheadError."""
