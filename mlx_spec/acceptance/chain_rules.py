"""Acceptance rules: which drafted tokens stand, and which token follows them. Pure functions of arrays.

Every rule returns a `Verdict` of lazy arrays, so that drafting, scoring and verifying are one graph and the host
reads once a round. `verify` is the same for a caller who holds probabilities and wants plain numbers.

- `coupled` (the default): Gumbel coupling, Daliri, Musco and Suresh 2024 (arXiv 2408.07978). The target's token at a
  position is argmax(log p + noise), an exact sample of p whatever was drafted; a draft stands where it is that token.
- `token`: speculative sampling, Leviathan et al. 2023, Algorithm 1. Accept x with probability min(1, p(x) / q(x)),
  else draw from the residual max(0, p - q), normalised. q is the draft's *whole warped* distribution.
- `block`: block verification, Sun et al. 2024 (arXiv 2403.10444), Algorithm 2. As exact as `token`; it judges the
  drafts together, and in expectation never accepts fewer.
- `typical`: Cai et al. 2024 (Medusa, arXiv 2401.10774), section 2.3.2. Accept what the target finds plausible.
  *Lossy*: the answer no longer follows the target's distribution. Off by default, and the statistics say so.
"""

from dataclasses import dataclass
from typing import Final, Protocol, cast

import mlx.core as mx

from mlx_spec.config import ACCEPTANCE_RULES, AcceptanceRule
from mlx_spec.errors import ConfigError
from mlx_spec.sampling.gumbel import Stream, gumbel, noise, stream_key, stream_uniform

TYPICAL_EPSILON: Final = 0.09
"""`typical` accepts whatever is likelier than this."""
TYPICAL_DELTA: Final = 0.3
"""Where the target is unsure, `typical` asks for less: delta * exp(-entropy). The paper's choice, sqrt(epsilon)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Lazy result of a rule: `accepted_count` (0-d, int32) and `token_ids` `[gamma + 1]`.

    The first `accepted_count + 1` of `token_ids` are the round's tokens; the rest has no meaning. Of a tree that is no
    chain there are as many as its depth and one more, and `path` `[depth]` holds the nodes that were accepted.
    """

    accepted_count: mx.array
    token_ids: mx.array
    path: mx.array | None = None


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


class Rule(Protocol):
    """A rule that draws its own randomness, for all positions at once.

    `log_p` `[gamma + 1, vocab]` and `log_q` `[gamma, vocab]` are normalised; the drafts `[gamma]` were drawn from
    exactly `log_q` with a stream other than ACCEPT and RECOVER, which the rule draws from. `position` is that of the
    first draft, `salt` tells rounds apart.
    """

    def __call__(
        self, log_p: mx.array, log_q: mx.array, draft_ids: mx.array, *, seed: int, position: int, salt: int = 0
    ) -> Verdict: ...


def token(log_p: mx.array, log_q: mx.array, draft_ids: mx.array, *, seed: int, position: int, salt: int = 0) -> Verdict:
    """Leviathan et al. 2023, Algorithm 1: accept x with min(1, p(x) / q(x)), up to the first rejection. See `Rule`."""
    gamma = draft_ids.shape[0]
    uniforms = _acceptance_uniforms(gamma, seed, position, salt)
    # Strictly less: a token that p excludes is never accepted, not even at u = 0.
    count = _prefix_length(uniforms * _drafted(log_q, draft_ids) < _drafted(log_p[:gamma], draft_ids))
    p_row = mx.exp(mx.take(log_p, count, axis=0))
    residual = mx.maximum(p_row - mx.take(_with_bonus_row(log_q), count, axis=0), 0.0)
    return _followed(draft_ids, count, residual, p_row, seed, position, salt)


def block(log_p: mx.array, log_q: mx.array, draft_ids: mx.array, *, seed: int, position: int, salt: int = 0) -> Verdict:
    """Sun et al. 2024, Algorithm 2: the longest prefix that passes its own test, whatever the shorter ones did.

    With w_0 = 1 and w_i = min(1, w_(i-1) p(x_i) / q(x_i)), and S_i the sum over the next token y of
    max(0, w_i p(y) - q(y)), the prefix of i drafts passes with probability h_i = S_i / (S_i + 1 - w_i). Behind the
    last draft nothing is proposed, q is 0, and h_gamma is w_gamma. The next token's residual is max(0, w_i p - q).
    See `Rule`.
    """
    gamma = draft_ids.shape[0]
    weights = prefix_weights(_drafted(log_p[:gamma], draft_ids), _drafted(log_q, draft_ids))
    p_rows = mx.exp(log_p)
    residuals = mx.maximum(weights[:, None] * p_rows - _with_bonus_row(log_q), 0.0)
    left = mx.sum(residuals, axis=-1)
    # 0 / 0 where w_i is 1 and p equals q: then every longer prefix passes too, and any answer is right.
    passing = left / mx.maximum(left + (1.0 - weights), 1e-30)
    passed = _acceptance_uniforms(gamma, seed, position, salt) < passing[1:]
    count = mx.max(mx.concatenate([mx.array([0]), mx.where(passed, mx.arange(1, gamma + 1), 0)])).astype(mx.int32)
    residual, p_row = mx.take(residuals, count, axis=0), mx.take(p_rows, count, axis=0)
    return _followed(draft_ids, count, residual, p_row, seed, position, salt)


def typical(
    log_p: mx.array, log_q: mx.array, draft_ids: mx.array, *, seed: int, position: int, salt: int = 0
) -> Verdict:
    """Cai et al. 2024: accept x where p(x) > min(epsilon, delta * exp(-H(p))), up to the first rejection. Lossy.

    The next token is a sample of p. How a draft was drawn does not matter, so `log_q` is not read. See `Rule`.
    """
    gamma = draft_ids.shape[0]
    count = _prefix_length(_drafted(log_p[:gamma], draft_ids) > least_plausible(log_p)[:gamma])
    p_row = mx.exp(mx.take(log_p, count, axis=0))
    return _followed(draft_ids, count, p_row, p_row, seed, position, salt)


def least_plausible(log_p: mx.array) -> mx.array:
    """How probable a token must be for `typical`, `[n]`, by the distributions `[n, vocab]` it is judged by."""
    p_rows = mx.exp(log_p)
    entropy = -mx.sum(mx.where(p_rows > 0, p_rows * log_p, 0.0), axis=-1)
    return mx.minimum(TYPICAL_EPSILON, TYPICAL_DELTA * mx.exp(-entropy))


def recovery_keys(count: int, seed: int, position: int, salt: int) -> mx.array:
    """The keys `[count, 2]` that the next token is drawn with, for `count` positions from `position` on."""
    return mx.array([stream_key(seed, position + i, Stream.RECOVER, salt) for i in range(count)], dtype=mx.uint32)


RULES: Final[dict[AcceptanceRule, Rule]] = {"token": token, "block": block, "typical": typical}
"""The rules that take normalised distributions; `coupled` needs none."""


def _acceptance_uniforms(gamma: int, seed: int, position: int, salt: int) -> mx.array:
    """One uniform number `[gamma]` a draft."""
    values = [stream_uniform(seed, position + i, Stream.ACCEPT, salt) for i in range(gamma)]
    return mx.array(values, dtype=mx.float32)


def _drafted(log_rows: mx.array, draft_ids: mx.array) -> mx.array:
    """Probability `[gamma]` of each draft in its row of `[gamma, vocab]`."""
    return mx.exp(mx.take_along_axis(log_rows, draft_ids[:, None], axis=-1)[:, 0])


def _with_bonus_row(log_q: mx.array) -> mx.array:
    """q `[gamma + 1, vocab]`: behind the last draft nothing is proposed, so nothing is taken off p there."""
    return mx.concatenate([mx.exp(log_q), mx.zeros((1, log_q.shape[-1]))])


def prefix_weights(p_drafted: mx.array, q_drafted: mx.array) -> mx.array:
    """w `[gamma + 1]` of `block`, from the drafts' probabilities `[gamma]`."""
    weights = [mx.array(1.0)]
    for i in range(p_drafted.shape[0]):
        wanted, proposed = weights[-1] * p_drafted[i], q_drafted[i]
        # Divides only where the quotient is under 1, which also keeps 0 / 0 out.
        inside = wanted / mx.where(wanted < proposed, proposed, 1.0)
        weights.append(mx.where(wanted < proposed, inside, (wanted > 0).astype(mx.float32)))
    return mx.stack(weights)


def _followed(
    draft_ids: mx.array, count: mx.array, residual: mx.array, p_row: mx.array, seed: int, position: int, salt: int
) -> Verdict:
    """The first `count` drafts, and a token drawn from `residual` `[vocab]`, which need not be normalised."""
    gamma, vocab = draft_ids.shape[0], p_row.shape[-1]
    # Rounding can empty the residual where p and q are equal; then p itself is the right distribution.
    residual = mx.where(mx.sum(residual) > 0, residual, p_row)
    keys = recovery_keys(gamma + 1, seed, position, salt)
    recovered = mx.argmax(mx.log(residual) + gumbel(mx.take(keys, count, axis=0), vocab)).astype(mx.int32)
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
        verdict = RULES[rule](log_p, log_q, draft_ids, seed=seed, position=position)
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
