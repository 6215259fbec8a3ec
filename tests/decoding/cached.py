"""What an answer says, and how much of its prompt was known."""

from typing import Any

from mlx_spec import SamplingParams, SpeculativeDecoder
from mlx_spec.events import GenerationFinished, PrefillProgress

SETTINGS = [SamplingParams(temperature=0, seed=1), SamplingParams(temperature=0.8, seed=2)]


def told(decoder: SpeculativeDecoder, prompt: list[int], params: SamplingParams) -> tuple[Any, int]:
    """The answer's ids, and how many tokens of the prompt were known."""
    events = list(decoder.stream(prompt, params, 12))
    (cached,) = {event.cached_tokens for event in events if isinstance(event, PrefillProgress)}
    assert isinstance(events[-1], GenerationFinished)
    return events[-1].token_ids, cached
