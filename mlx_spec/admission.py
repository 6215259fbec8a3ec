"""What a request must satisfy before any model runs: its prompt, its limits, and what should draft for it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from mlx_spec.config import SpeculativeConfig
from mlx_spec.errors import ConfigError, PromptError
from mlx_spec.models.loading import ModelPair

DrafterName = Literal["auto", "model", "none"]
Lookahead = int | Literal["auto"]


def check_drafter(drafter: str, pair: ModelPair) -> None:
    """Raise ConfigError for a drafter that is unknown, or that the pair does not have."""
    if drafter not in ("auto", "model", "none"):
        raise ConfigError("drafter", drafter, "one of auto, model, none")
    if drafter == "model" and pair.draft is None:
        raise ConfigError("drafter", drafter, f"auto or none: {pair.name} was loaded without a draft model")


def speculates(drafter: DrafterName, pair: ModelPair) -> bool:
    """Whether anything drafts; `auto` takes the draft model where there is one."""
    return drafter == "model" or (drafter == "auto" and pair.draft is not None)


def with_lookahead(config: SpeculativeConfig, lookahead: Lookahead | None) -> SpeculativeConfig:
    """The configuration with a request's own lookahead: a fixed length, `auto`, or None for what the decoder has."""
    if lookahead is None:
        return config
    if lookahead == "auto":
        return replace(config, adaptive_lookahead=True)
    return replace(config, lookahead=lookahead, adaptive_lookahead=False)


def answer_limit(pair: ModelPair, config: SpeculativeConfig, prompt_ids: Sequence[int], max_tokens: object) -> int:
    """How many tokens the answer may have: `max_tokens`, or what the context leaves.

    Raises PromptError or ConfigError.
    """
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1:
        raise ConfigError("max_tokens", max_tokens, "a whole number of at least 1")
    if not len(prompt_ids):
        raise PromptError("The prompt is empty: write something to answer.")
    if not all(0 <= token_id < pair.vocab_size for token_id in prompt_ids):
        raise PromptError(f"The prompt holds a token id outside 0..{pair.vocab_size - 1}: use the target's tokenizer.")
    context = min(pair.context_length, config.max_seq_len or pair.context_length)
    if len(prompt_ids) >= context:
        raise PromptError(
            f"The prompt is {len(prompt_ids):,} tokens long and the context of {pair.target_name} holds {context:,}: "
            "shorten it or use a model with a longer context."
        )
    return min(max_tokens, context - len(prompt_ids))
