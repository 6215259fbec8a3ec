"""What an answer says, and how much of its prompt was known; of a pair that has every drafter."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from mlx_spec import SamplingParams, SpeculativeDecoder
from mlx_spec.events import GenerationFinished, PrefillProgress
from mlx_spec.models.loading import ModelPair
from tests.decoding.drafters.published import HIDDEN, LAYERS
from tests.decoding.drafters.test_decoding import heads_for
from tests.tiny import pair_of, tiny_llama

SETTINGS = [SamplingParams(temperature=0, seed=1), SamplingParams(temperature=0.8, seed=2)]


def told(decoder: SpeculativeDecoder, prompt: list[int], params: SamplingParams) -> tuple[Any, int]:
    """The answer's ids, and how many tokens of the prompt were known."""
    events = list(decoder.stream(prompt, params, 12))
    (cached,) = {event.cached_tokens for event in events if isinstance(event, PrefillProgress)}
    assert isinstance(events[-1], GenerationFinished)
    return events[-1].token_ids, cached


def every_drafter(folder: Path) -> ModelPair:
    """A tiny target with a draft, and with heads that lie in `folder`."""
    target = tiny_llama(0, layers=LAYERS, hidden=HIDDEN, scale=0.5)
    return replace(pair_of(target, tiny_llama(1)), heads=heads_for(target, folder))
