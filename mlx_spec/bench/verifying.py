"""Verifying a round by itself: this engine's way against one with probabilities at every position. No model is run."""

import statistics
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import mlx.core as mx
import numpy as np

from mlx_spec.acceptance.chain_rules import RULES
from mlx_spec.config import SamplingParams
from mlx_spec.machine.kernels import dispatch, verify
from mlx_spec.machine.kernels.proposal import Proposal
from mlx_spec.machine.kernels.row_softmax import sample
from mlx_spec.machine.kernels.verify_ops import ChainRule
from mlx_spec.machine.kernels.warp import WarpedRows
from mlx_spec.sampling.distribution import log_distribution
from mlx_spec.sampling.gumbel import Stream, stream_key

VOCAB_SIZE: Final = 151_936
GAMMA: Final = 8
_REPEATS: Final = 15
_SEED: Final = 11


@dataclass(frozen=True, slots=True)
class VerifyingRow:
    """One rule: milliseconds a verify (medians) and bytes at the peak, beside what the logits take."""

    rule: str
    path: str
    ours_ms: float
    full_ms: float
    ours_peak_bytes: int
    full_peak_bytes: int

    @property
    def time_ratio(self) -> float:
        """Ours as a share of the other's."""
        return self.ours_ms / self.full_ms

    @property
    def memory_ratio(self) -> float:
        """Ours as a share of the other's."""
        return self.ours_peak_bytes / self.full_peak_bytes

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, the shares too."""
        return asdict(self) | {"time_ratio": self.time_ratio, "memory_ratio": self.memory_ratio}


def measure_verifying(vocab_size: int = VOCAB_SIZE, gamma: int = GAMMA, repeats: int = _REPEATS) -> list[VerifyingRow]:
    """Both ways in turns, on random logits in float16, for the rules that take a draft's distribution."""
    rules: tuple[ChainRule, ...] = ("token", "block")
    return [_measure(rule, vocab_size, gamma, repeats) for rule in rules]


def _measure(rule: ChainRule, vocab_size: int, gamma: int, repeats: int) -> VerifyingRow:
    params = SamplingParams(temperature=0.8)
    generator = np.random.default_rng(_SEED)
    logits = generator.normal(size=(gamma + 1, vocab_size)).astype(np.float32) * 3
    near = logits[:gamma] + 0.3 * generator.normal(size=(gamma, vocab_size)).astype(np.float32)
    rows = WarpedRows(mx.array(logits).astype(mx.float16), params)
    proposed = WarpedRows(mx.array(near).astype(mx.float16), params)
    drawn = sample(proposed, [stream_key(_SEED, i, Stream.DRAFT) for i in range(gamma)])
    mx.eval(rows.logits, proposed.logits, drawn.token_ids, drawn.normalisers)
    proposal = Proposal(drawn.token_ids, proposed, drawn.normalisers)

    def ours() -> None:
        found = verify.chain(rows, proposal, rule=rule, seed=_SEED, position=9)
        mx.eval(found.accepted_count, found.token_ids, found.logprobs, found.draft_logprobs)

    def full() -> None:
        log_p, log_q = log_distribution(rows.scores()), log_distribution(proposed.scores())
        found = RULES[rule](log_p, log_q, drawn.token_ids, seed=_SEED, position=9)
        logprobs = mx.take_along_axis(log_p, found.token_ids[:, None], axis=-1)
        mx.eval(found.accepted_count, found.token_ids, logprobs)

    times: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats + 1):
        for samples, way in zip(times, (ours, full), strict=True):
            taken = _milliseconds(way)
            if repeat:
                samples.append(taken)
    path = "metal" if dispatch.serves(gamma + 1) else "mlx_ops"
    medians = statistics.median(times[0]), statistics.median(times[1])
    return VerifyingRow(rule, path, *medians, _peak_bytes(ours), _peak_bytes(full))


def _milliseconds(way: Callable[[], None]) -> float:
    started = time.perf_counter()
    way()
    return (time.perf_counter() - started) * 1e3


def _peak_bytes(way: Callable[[], None]) -> int:
    """What MLX and NumPy hold at their peak beyond what was there before."""
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    tracemalloc.start()
    way()
    arrays = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return int(mx.get_peak_memory() - before + arrays)
