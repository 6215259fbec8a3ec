"""Acceptance rules: which drafted tokens stand, and which token follows them. Pure functions of arrays.

Every rule returns a `Verdict` of lazy arrays, so that drafting, scoring and verifying are one graph and the host
reads once a round. `verify` is the same for a caller who holds probabilities and wants plain numbers.

- `coupled` (the default): Gumbel coupling, Daliri, Musco and Suresh 2024 (arXiv 2408.07978). The target's token at a
  position is argmax(log p + noise), an exact sample of p whatever was drafted; a draft stands where it is that token.
- `token`: speculative sampling, Leviathan et al. 2023, Algorithm 1. Accept x with probability min(1, p(x) / q(x)),
  else draw from the residual max(0, p - q), normalised. q is the draft's *whole warped* distribution.
"""

from dataclasses import dataclass
from typing import cast

import mlx.core as mx

from mlx_spec.config import ACCEPTANCE_RULES, AcceptanceRule
from mlx_spec.errors import ConfigError
from mlx_spec.sampling import Stream, gumbel, noise, stream_key, stream_uniform


@dataclass(frozen=True, slots=True)
class Verdict:
    """Lazy result of a rule: `accepted_count` (0-d, int32) and `token_ids` `[gamma + 1]`.

    The first `accepted_count + 1` of `token_ids` are the round's tokens; the rest has no meaning.
    """

    accepted_count: mx.array
    token_ids: mx.array


@dataclass(frozen=True, slots=True)
class VerificationResult:
    """What one round decided. Log-probabilities are the target's, natural logarithms."""

    accepted_count: int
    next_token: int
    accepted_logprobs: tuple[float, ...]
    next_logprob: float
    all_accepted: bool


def coupled(target_scores: mx.array, draft_ids: mx.array, noise_rows: mx.array | None) -> Verdict:
    """Accept the drafted prefix that equals the target's own tokens.

    `target_scores` `[gamma + 1, vocab]` need not be normalised; `draft_ids` `[gamma]`; `noise_rows`
    `[gamma + 1, vocab]` is the noise of the positions, None at temperature 0.
    """
    noisy = target_scores if noise_rows is None else target_scores + noise_rows
    target_ids = mx.argmax(noisy, axis=-1).astype(mx.int32)
    return Verdict(_prefix_length(target_ids[:-1] == draft_ids), target_ids)


def token(log_p: mx.array, log_q: mx.array, draft_ids: mx.array, *, seed: int, position: int, salt: int = 0) -> Verdict:
    """Leviathan et al. 2023, Algorithm 1, for all positions at once.

    `log_p` `[gamma + 1, vocab]` and `log_q` `[gamma, vocab]` are normalised; the drafts were drawn from exactly
    `log_q` with a stream other than ACCEPT and RECOVER, which this function draws from.
    """
    gamma = draft_ids.shape[0]
    uniforms = mx.array([stream_uniform(seed, position + i, Stream.ACCEPT, salt) for i in range(gamma)])
    columns = draft_ids[:, None]
    p_drafted = mx.exp(mx.take_along_axis(log_p[:gamma], columns, axis=-1)[:, 0])
    q_drafted = mx.exp(mx.take_along_axis(log_q, columns, axis=-1)[:, 0])
    # Strictly less: a token that p excludes is never accepted, not even at u = 0.
    count = _prefix_length(uniforms * q_drafted < p_drafted)

    q_rows = mx.concatenate([mx.exp(log_q), mx.zeros((1, log_p.shape[-1]))])
    p_row = mx.exp(mx.take(log_p, count, axis=0))
    residual = mx.maximum(p_row - mx.take(q_rows, count, axis=0), 0.0)
    # Rounding can empty the residual where p and q are equal; then p itself is the right distribution.
    residual = mx.where(mx.sum(residual) > 0, residual, p_row)
    keys = mx.array([stream_key(seed, position + i, Stream.RECOVER, salt) for i in range(gamma + 1)], dtype=mx.uint32)
    recovery_noise = gumbel(mx.take(keys, count, axis=0), log_p.shape[-1])
    recovered = mx.argmax(mx.log(residual) + recovery_noise).astype(mx.int32)
    padded = mx.concatenate([draft_ids.astype(mx.int32), mx.zeros((1,), dtype=mx.int32)])
    return Verdict(count, mx.where(mx.arange(gamma + 1) == count, recovered, padded))


def _prefix_length(accepted: mx.array) -> mx.array:
    """Number of leading True in `[gamma]`, int32; 0 for gamma 0."""
    if accepted.shape[0] == 0:
        return mx.array(0, dtype=mx.int32)
    return mx.sum(mx.cumprod(accepted.astype(mx.int32), axis=0)).astype(mx.int32)


def point_mass(draft_ids: mx.array, vocab_size: int) -> mx.array:
    """log q `[gamma, vocab]` of a draft that has no distribution: all its mass on the drafted token."""
    return mx.where(mx.arange(vocab_size)[None] == draft_ids[:, None], 0.0, -mx.inf)


def verify(
    p: mx.array,
    q: mx.array | None,
    draft_ids: mx.array,
    *,
    seed: int,
    position: int,
    rule: AcceptanceRule = "coupled",
) -> VerificationResult:
    """Verify one drafted chain.

    p `[gamma + 1, vocab]` are the target's probabilities, q `[gamma, vocab]` the draft's (None for a draft without a
    distribution), `draft_ids` `[gamma]`, `position` that of the first drafted token. Raises ConfigError for an unknown
    rule or shapes that do not fit.
    """
    if rule not in ACCEPTANCE_RULES:
        raise ConfigError("rule", rule, f"one of {', '.join(ACCEPTANCE_RULES)}")
    draft_ids = mx.array(draft_ids, dtype=mx.int32)
    gamma, vocab = draft_ids.shape[0], p.shape[-1]
    _check_shape("p", p, (gamma + 1, vocab))
    if q is not None:
        _check_shape("q", q, (gamma, vocab))
    log_p = mx.log(p.astype(mx.float32))
    if rule == "coupled":
        rows = mx.stack([noise(seed, position + i, vocab) for i in range(gamma + 1)])
        verdict = coupled(log_p, draft_ids, rows)
    else:
        log_q = point_mass(draft_ids, vocab) if q is None else mx.log(q.astype(mx.float32))
        verdict = token(log_p, log_q, draft_ids, seed=seed, position=position)
    return _read(verdict, log_p, gamma)


def _check_shape(name: str, rows: mx.array, shape: tuple[int, ...]) -> None:
    if tuple(rows.shape) != shape:
        raise ConfigError(name, tuple(rows.shape), f"an array of shape {shape}")


def _read(verdict: Verdict, log_p: mx.array, gamma: int) -> VerificationResult:
    logprobs = mx.take_along_axis(log_p, verdict.token_ids[:, None], axis=-1)[:, 0]
    mx.eval(verdict.accepted_count, verdict.token_ids, logprobs)
    count = cast(int, verdict.accepted_count.item())
    values = cast(list[float], logprobs.tolist())
    return VerificationResult(
        accepted_count=count,
        next_token=cast(int, verdict.token_ids[count].item()),
        accepted_logprobs=tuple(values[:count]),
        next_logprob=values[count],
        all_accepted=count == gamma,
    )
