"""What a request must satisfy before any model runs: its prompt, its limits, and what should draft for it."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

from mlx_lm.models.cache import make_prompt_cache

from mlx_spec.config import DRAFTERS, DrafterName, SamplingParams, SpeculativeConfig
from mlx_spec.decoding.cache.rollback import check_rollback
from mlx_spec.decoding.constraints.compiling import GRAMMARS
from mlx_spec.decoding.constraints.wanted import Constraint
from mlx_spec.decoding.drafters.self_draft import half_of
from mlx_spec.decoding.request import Request
from mlx_spec.errors import ConfigError, PromptError, PromptTooLongError, UnsupportedModelError
from mlx_spec.models.heads.loading import DRAFTER_OF
from mlx_spec.models.loading import ModelPair

HEADS: Final = frozenset(DRAFTER_OF.values())
"""The drafters that a checkpoint of their own makes."""
Lookahead = int | Literal["auto"]


def admit(
    pair: ModelPair,
    config: SpeculativeConfig,
    prompt_ids: Sequence[int],
    params: SamplingParams,
    max_tokens: int,
    *,
    drafter: DrafterName,
    lookahead: Lookahead | None = None,
    steered: bool = False,
    alternatives: int = 0,
    goes_on: bool = False,
    owner: str | None = None,
    kv_tokens: int | None = None,
    constraint: Constraint | None = None,
    thinking_tokens: int | None = None,
) -> Request:
    """What is asked of a pair, as a request that can be answered. One that may be `steered` keeps all drafters in step.
    Of keys and values there is room for `kv_tokens`, where that is limited. A `constraint` is compiled, if it is not.

    Raises PromptError, ConfigError, GrammarError or UnsupportedModelError.
    """
    check_drafter(drafter, pair)
    config = with_lookahead(config, lookahead)
    limit = answer_limit(pair, config, prompt_ids, max_tokens)
    if kv_tokens is not None:
        limit = min(limit, _kv_limit(len(prompt_ids), kv_tokens))
    if params.seed is None:
        params = replace(params, seed=secrets.randbits(32))
    names = drafting(drafter, pair)
    if names and steered:
        names = steerable(names, pair)
    if constraint is not None:
        GRAMMARS.compiled(constraint, pair.tokenizer, pair.vocab_size)
        names = with_grammar(names, drafter, pair)
    ids = tuple(int(token_id) for token_id in prompt_ids)
    request = Request(ids, config, params, drafter, names, limit, alternatives, goes_on, owner, constraint=constraint)
    return replace(request, thinking_tokens=thinking_tokens)


def _kv_limit(prompt_tokens: int, kv_tokens: int) -> int:
    """How many tokens an answer may have by the memory for keys and values. Raises PromptError where there are none."""
    if prompt_tokens >= kv_tokens:
        raise PromptError(
            f"The prompt has {prompt_tokens:,} tokens, and the memory for keys and values holds {kv_tokens:,}: shorten "
            "it, or give more with --kv-memory."
        )
    return kv_tokens - prompt_tokens


def is_prompt(pair: ModelPair, config: SpeculativeConfig, token_ids: Sequence[int]) -> bool:
    """Whether these ids could be a prompt."""
    try:
        answer_limit(pair, config, token_ids, 1)
    except PromptError:
        return False
    return True


def check_drafter(drafter: str, pair: ModelPair) -> None:
    """Raise ConfigError for a drafter that is unknown, or that the pair does not have."""
    if drafter not in DRAFTERS:
        raise ConfigError("drafter", drafter, f"one of {', '.join(DRAFTERS)}")
    lacking = "a draft model" if drafter == "model" else "such a head" if drafter in HEADS else None
    if lacking is not None and drafter not in _loaded(pair):
        have = ", ".join(["auto", *_loaded(pair), "self"])
        raise ConfigError("drafter", drafter, f"{have} or none: {pair.name} was loaded without {lacking}")


def drafting(drafter: DrafterName, pair: ModelPair) -> tuple[str, ...]:
    """The names of what drafts, the preferred one first; none for plain decoding.

    `auto` is everything that is loaded, but never the target itself with layers left out. A target that cannot be
    rolled back is decoded plainly where nobody asked for a draft; where somebody did, UnsupportedModelError names what
    is in the way.
    """
    if drafter == "none":
        return ()
    caches = make_prompt_cache(pair.target)
    asked = drafter != "auto" or pair.draft is not None or bool(pair.heads)
    try:
        check_rollback(caches, pair.target_name)
        if drafter == "self":
            half_of(pair.target)
        if pair.draft is not None and drafter in ("auto", "model"):
            check_rollback(make_prompt_cache(pair.draft), pair.draft_name or "the draft")
    except UnsupportedModelError:
        if asked:
            raise
        return ()
    if drafter == "grammar":
        return ()  # what is forced is drafted where something is; see `with_grammar`
    if drafter != "auto":
        return (drafter,)
    return _loaded(pair)


def _loaded(pair: ModelPair) -> tuple[str, ...]:
    """What can draft for a pair with what was loaded, the preferred one first."""
    return (*pair.heads, *(("model",) if pair.draft is not None else ()), "ngram")


def with_grammar(names: tuple[str, ...], drafter: DrafterName, pair: ModelPair) -> tuple[str, ...]:
    """What drafts an answer that has a grammar: what is forced, too, where something may draft. Heads and a draft model
    begin with that themselves and go on behind it, so they stay the preferred ones; only a draft with words of its own
    does not."""
    if drafter == "grammar":
        return ("grammar", *names)
    if drafter != "auto" or not names or "grammar" in names:
        return names
    bridged = names[0] == "model" and pair.token_map is not None
    at = 0 if bridged else names.index("ngram")
    return (*names[:at], "grammar", *names[at:])


def steerable(names: tuple[str, ...], pair: ModelPair) -> tuple[str, ...]:
    """All that an answer which `names` begin to draft could be steered to; what does not fit the pair is left out."""
    try:
        every = drafting("auto", pair)
    except UnsupportedModelError:
        return names
    return (*names, *(name for name in every if name not in names))


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
    context = min((length for length in (pair.context_length, config.max_seq_len) if length), default=None)
    if context is None:
        return max_tokens
    if len(prompt_ids) >= context:
        raise PromptTooLongError(len(prompt_ids), context, pair.target_name)
    return min(max_tokens, context - len(prompt_ids))
