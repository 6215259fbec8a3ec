"""How many answers share the engine, and how: frozen settings that know their ranges."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from mlx_spec.errors import ConfigError
from mlx_spec.prompt_passes import PromptPasses, Shorter

PolicyName = Literal["fcfs", "shortest", "priority", "deadline", "orca"]
POLICIES: Final[tuple[PolicyName, ...]] = get_args(PolicyName)
PreemptionName = Literal["swap", "recompute"]
PREEMPTIONS: Final[tuple[PreemptionName, ...]] = get_args(PreemptionName)
_AT_LEAST: Final = {
    "max_batch": 1,
    "max_waiting": 0,
    "chunk_tokens": 1,
    "block_tokens": 1,
    "draft_tokens": 0,
    "spare_blocks": 0,
    "patience": 0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """What one step may hold, and who comes first.

    At most `max_batch` answers are on, and at most `max_waiting` requests wait beside them. A step has `step_tokens`:
    a row for each answer that is written, then chunks of a prompt, then drafts. Prompts are read in chunks of
    `chunk_tokens` from position 0, with `shorter_chunks` in passes that are a part of one from some positions on, and
    `joined_from` (see `PromptPasses`); `prefill_budget_ms` bounds the reading of a step beside answers that are
    written: once, as it begins, it may take twice that for several who wait, or that for each who waits behind one who
    writes, up to eight times. An answer is offered blocks, of `block_tokens`, for up to `draft_tokens` drafted tokens.
    Who is let on leaves `spare_blocks` free for each answer that is on already. Nobody is overtaken by more than
    `patience` later arrivals.

    Raises ConfigError, which names the field, the value and the range.
    """

    max_batch: int = 8
    max_waiting: int = 64
    policy: PolicyName = "fcfs"
    preemption: PreemptionName = "swap"
    step_tokens: int = 1024
    chunk_tokens: int = 64
    shorter_chunks: Shorter = ()
    joined_from: int | None = None
    prefill_budget_ms: float | None = None
    block_tokens: int = 64
    draft_tokens: int = 8
    spare_blocks: int = 1
    patience: int = 8

    @property
    def passes(self) -> PromptPasses:
        """Where a prompt is read in passes."""
        return PromptPasses(self.chunk_tokens, self.shorter_chunks, self.joined_from)

    def __post_init__(self) -> None:
        for field, low in _AT_LEAST.items():
            _check_integer(field, getattr(self, field), low)
        if self.policy not in POLICIES:
            raise ConfigError("policy", self.policy, "one of " + ", ".join(POLICIES))
        if self.preemption not in PREEMPTIONS:
            raise ConfigError("preemption", self.preemption, "one of " + ", ".join(PREEMPTIONS))
        # So a chunk always fits beside a row of every answer: neither reading nor writing can starve the other.
        _check_integer("step_tokens", self.step_tokens, self.max_batch + self.chunk_tokens)
        budget_ms = self.prefill_budget_ms
        if budget_ms is not None and (not isinstance(budget_ms, int | float) or not budget_ms > 0):
            raise ConfigError("prefill_budget_ms", budget_ms, "a number of milliseconds above 0")


def _check_integer(field: str, value: object, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ConfigError(field, value, f"a whole number of at least {low}")
