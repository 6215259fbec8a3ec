"""What a request must satisfy before any model runs: its prompt, its limits, and what should draft for it."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Unpack

import numpy as np
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec.config import DRAFTERS, LOGPROBS_LIMIT, DrafterName, Exactness, SamplingParams, SpeculativeConfig
from mlx_spec.decoding.cache.rollback import check_rollback
from mlx_spec.decoding.cache.rows.widths import RowWidths
from mlx_spec.decoding.constraints.compiling import GRAMMARS
from mlx_spec.decoding.drafters.self_draft import half_of
from mlx_spec.decoding.request import AnswerOptions, Lookahead, Request
from mlx_spec.errors import ConfigError, PromptError, PromptTooLongError, UnsupportedModelError
from mlx_spec.lookahead.shapes import confined
from mlx_spec.models.heads.loading import DRAFTER_OF
from mlx_spec.models.loading import ModelPair

HEADS: Final = frozenset(DRAFTER_OF.values())
"""The drafters that a checkpoint of their own makes."""


def admit(
    pair: ModelPair,
    config: SpeculativeConfig,
    prompt_ids: Sequence[int],
    params: SamplingParams,
    max_tokens: int,
    *,
    steered: bool = False,
    kv_tokens: int | None = None,
    **options: Unpack[AnswerOptions],
) -> Request:
    """What is asked of a pair, as a request that can be answered. One that may be `steered` keeps all drafters in step.
    Of keys and values there is room for `kv_tokens`, where that is limited. A `constraint` is compiled, if it is not.
    How exact its passes are, `within` says.

    Raises PromptError, ConfigError, GrammarError or UnsupportedModelError.
    """
    drafter, constraint = options.get("drafter") or "auto", options.get("constraint")
    logprobs, scores_prompt = options.get("logprobs"), options.get("prompt_logprobs", False)
    check_drafter(drafter, pair)
    config = with_lookahead(config, options.get("lookahead"))
    check_logprobs(logprobs)
    limit = answer_limit(pair, config, prompt_ids, max_tokens, least=0 if scores_prompt else 1)
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
    return Request(
        prompt_ids=tuple(int(token_id) for token_id in prompt_ids),
        config=config,
        params=params,
        drafter=drafter,
        drafters=names,
        max_tokens=limit,
        alternatives=options.get("alternatives", 0),
        goes_on=options.get("goes_on", False),
        owner=options.get("owner"),
        logprobs=logprobs,
        prompt_logprobs=scores_prompt,
        predicted_ids=predicted(pair, options.get("predicted_ids", ())),
        constraint=constraint,
        thinking_tokens=options.get("thinking_tokens"),
        one_call_of=tuple(options.get("one_call_of", ())),
    )


def check_logprobs(count: object) -> None:
    """Raise ConfigError for a number of likeliest tokens that cannot be told with each token; None asks for nothing."""
    if count is None:
        return
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= LOGPROBS_LIMIT:
        raise ConfigError("logprobs", count, f"a whole number from 0 to {LOGPROBS_LIMIT}")


def predicted(pair: ModelPair, token_ids: Sequence[int]) -> tuple[int, ...]:
    """What the answer is said to be, as ids that could be its tokens. Raises ConfigError."""
    ids = np.asarray(token_ids, dtype=np.int64)
    if ids.size and not (ids.min() >= 0 and ids.max() < pair.vocab_size):
        allowed = f"made of token ids from 0 to {pair.vocab_size - 1}: use the target's tokenizer"
        raise ConfigError("predicted_ids", f"{ids.size} ids", allowed)
    return tuple(ids.tolist())


def within(request: Request, exactness: Exactness, widths: RowWidths) -> Request:
    """The request with passes of its target that are no wider than `widths` has it, where it is strict."""
    widest, trees = (widths.width, widths.trees) if exactness == "strict" else (None, True)
    config = confined(request.config, widest, trees=trees)
    by_row = exactness == "strict" and widths.by_row
    return replace(request, config=config, exactness=exactness, widest=widest, by_row=by_row, branches=trees)


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
    if drafter == "self" and pair.ranks > 1:
        raise ConfigError(
            "drafter",
            drafter,
            "another one where several machines share the target: a draft of its own"
            " layers would go over the network as often as an answer does",
        )
    lacking = "a draft model" if drafter == "model" else "such a head" if drafter in HEADS else None
    if lacking is not None and drafter not in _loaded(pair):
        have = ", ".join(["auto", *_loaded(pair), *(("self",) if pair.ranks == 1 else ())])
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


def answer_limit(
    pair: ModelPair, config: SpeculativeConfig, prompt_ids: Sequence[int], max_tokens: object, *, least: int = 1
) -> int:
    """How many tokens the answer may have: `max_tokens`, which is `least` or more, or what the context leaves.

    Raises PromptError or ConfigError.
    """
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < least:
        raise ConfigError("max_tokens", max_tokens, f"a whole number of at least {least}")
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
