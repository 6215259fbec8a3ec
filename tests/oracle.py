"""Slow and obvious implementations, in float64 NumPy: what the engine must agree with."""

import itertools
from collections.abc import Callable, Sequence

import mlx.core as mx
import numpy as np

from mlx_spec.config import SamplingParams
from mlx_spec.sampling.gumbel import noise

Array = np.ndarray


def softmax(logits: Array) -> Array:
    """Probabilities `[vocab]` of logits `[vocab]`."""
    shifted = np.exp(logits - np.max(logits))
    return shifted / shifted.sum()


def warped(logits: Array, params: SamplingParams) -> Array:
    """The distribution `[vocab]` a token is drawn from: temperature, then top-k, top-p, min-p, each renormalised."""
    logits = np.asarray(logits, dtype=np.float64)
    if params.temperature == 0:
        return np.eye(len(logits))[int(np.argmax(logits))]
    p = softmax(logits / params.temperature)
    order = np.argsort(-p, kind="stable")
    if 0 < params.top_k < len(p):
        p[order[params.top_k :]] = 0
        p /= p.sum()
    if params.top_p < 1:
        before = np.cumsum(p[order]) - p[order]
        p[order[before >= params.top_p]] = 0
        p /= p.sum()
    if params.min_p > 0:
        p[p < params.min_p * p.max()] = 0
        p /= p.sum()
    return p


def penalised(logits: Array, params: SamplingParams, prompt_ids: Sequence[int], answer_ids: Sequence[int]) -> Array:
    """Logits `[vocab]` after biases, bans and penalties, a token at a time."""
    found = np.array(logits, dtype=np.float64)
    for token_id, bias in dict(params.logit_bias).items():
        found[token_id] += bias
    for token_id in set(prompt_ids) | set(answer_ids):
        penalty = params.repetition_penalty
        found[token_id] = found[token_id] / penalty if found[token_id] > 0 else found[token_id] * penalty
    for token_id in answer_ids:
        found[token_id] -= params.frequency_penalty
    for token_id in set(answer_ids):
        found[token_id] -= params.presence_penalty
    found[list(params.banned_token_ids)] = -np.inf
    return found


def plain_decoding(
    model: Callable[[mx.array], mx.array], prompt_ids: list[int], params: SamplingParams, max_tokens: int, eos: set[int]
) -> list[int]:
    """Decode without a cache, without a draft, a token at a time, from the definition."""
    token_ids = list(prompt_ids)
    for _ in range(max_tokens):
        logits = np.array(model(mx.array([token_ids]))[0, -1].astype(mx.float32))
        answer_ids = token_ids[len(prompt_ids) :]
        p = warped(penalised(logits, params, prompt_ids, answer_ids), params)
        with np.errstate(divide="ignore"):
            noisy = np.log(p)
        if params.temperature > 0:
            noisy = noisy + np.array(noise(params.seed, len(token_ids), len(p)))
        token_id = int(np.argmax(noisy))
        if token_id in eos:
            break
        token_ids.append(token_id)
    return token_ids[len(prompt_ids) :]


def coupled_acceptance(p: Array, q: Array) -> float:
    """Probability that two Gumbel samples with shared noise agree: Σ_x 1 / Σ_y max(p_y / p_x, q_y / q_x)."""
    total = 0.0
    for x in range(len(p)):
        if p[x] > 0 and q[x] > 0:
            total += 1.0 / np.maximum(p / p[x], q / q[x]).sum()
    return total


Judgement = tuple[Array, Array]
"""What a rule thinks of one drafted chain: the probability `[gamma]` that each draft (`block`: each prefix) passes, and
the distribution `[gamma + 1, vocab]` of the next token after each number of accepted drafts."""
RuleOracle = Callable[[Array, Array, Sequence[int]], Judgement]


def _residual(p: Array, q: Array) -> Array:
    """max(0, p - q), normalised; p where nothing is left."""
    left = np.maximum(p - q, 0)
    return left / left.sum() if left.sum() > 0 else p / p.sum()


def token_judgement(p: Array, q: Array, drafts: Sequence[int]) -> Judgement:
    """Leviathan et al. 2023, Algorithm 1. p `[gamma + 1, vocab]`, q `[gamma, vocab]`."""
    passing = [min(1.0, p[i, x] / q[i, x]) for i, x in enumerate(drafts)]
    residuals = [_residual(p[i], q[i]) for i in range(len(drafts))] + [p[-1] / p[-1].sum()]
    return np.array(passing), np.array(residuals)


def block_judgement(p: Array, q: Array, drafts: Sequence[int]) -> Judgement:
    """Sun et al. 2024, Algorithm 2, line by line."""
    gamma, weight = len(drafts), 1.0
    passing, residuals = [], [_residual(p[0], q[0]) if gamma else p[0]]
    for i, x in enumerate(drafts, start=1):
        weight = min(1.0, weight * p[i - 1, x] / q[i - 1, x])
        if i == gamma:
            passing.append(weight)
            residuals.append(p[gamma] / p[gamma].sum())
        else:
            left = np.maximum(weight * p[i] - q[i], 0).sum()
            passing.append(left / (left + 1 - weight) if left + 1 - weight > 0 else 1.0)
            residuals.append(_residual(weight * p[i], q[i]) if weight > 0 else p[i])
    return np.array(passing), np.array(residuals)


def typical_judgement(p: Array, q: Array, drafts: Sequence[int]) -> Judgement:
    """Cai et al. 2024: a draft passes, or does not, by p alone."""
    passing = []
    for i, x in enumerate(drafts):
        entropy = -sum(v * np.log(v) for v in p[i] if v > 0)
        passing.append(float(p[i, x] > min(0.09, 0.3 * np.exp(-entropy))))
    return np.array(passing), p / p.sum(axis=-1, keepdims=True)


JUDGEMENTS: dict[str, RuleOracle] = {
    "token": token_judgement,
    "block": block_judgement,
    "typical": typical_judgement,
}


def accepted_count(rule: str, passed: Sequence[bool]) -> int:
    """How many drafts stand: up to the first that fails; under `block` up to the last prefix that passes."""
    if rule == "block":
        return max([i + 1 for i, yes in enumerate(passed) if yes], default=0)
    return len(list(itertools.takewhile(bool, passed)))


def count_probabilities(rule: str, passing: Array) -> Array:
    """The probability `[gamma + 1]` of each number of accepted drafts, when each test has its own uniform."""
    found = np.zeros(len(passing) + 1)
    for passed in itertools.product([False, True], repeat=len(passing)):
        found[accepted_count(rule, passed)] += np.prod(np.where(passed, passing, 1 - passing))
    return found


Tables = list[Array]
"""A language model over short texts: entry i `[vocab] * (i + 1)` holds the distribution after each text of i tokens."""


def joint(tables: Tables) -> Array:
    """The probability `[vocab] * len(tables)` of every text."""
    found = np.ones(())
    for table in tables:
        found = found[..., None] * table
    return found


def speculated(
    rule: str,
    p: Tables,
    q: Tables,
    judge: RuleOracle | None = None,
    ends: Callable[[tuple[int, ...]], bool] = lambda drafts: False,
) -> tuple[Array, float]:
    """One round of every possible draft, continued with p: the joint `[vocab] * (gamma + 1)` of the text, and the
    expected number of accepted drafts. The rule is exact if, and only if, the joint is p's own.

    A draft is gamma tokens long, or ends behind the first tokens where `ends` says so.
    """
    gamma, vocab = len(q), len(p[0])
    judge = judge or JUDGEMENTS[rule]
    found, expected = np.zeros((vocab,) * (gamma + 1)), 0.0
    for drafts in itertools.product(range(vocab), repeat=gamma):
        q_rows = np.array([q[i][drafts[:i]] for i in range(gamma)])
        drawn = np.prod([q_rows[i, x] for i, x in enumerate(drafts)])
        if drawn == 0:
            continue
        length = next((i for i in range(1, gamma) if ends(drafts[:i])), gamma)
        p_rows = np.array([p[i][drafts[:i]] for i in range(length + 1)])
        passing, residuals = judge(p_rows, q_rows[:length], drafts[:length])
        for count, probability in enumerate(drawn * count_probabilities(rule, passing)):
            text = residuals[count]
            for i in range(count + 1, gamma + 1):
                text = text[..., None] * p[i][drafts[:count]]
            found[drafts[:count]] += probability * text
            expected += count * probability
    return found, expected
