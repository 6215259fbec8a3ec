"""The raw material: one `Run` for each measured answer, one `Passes` for the models by themselves beside it."""

from dataclasses import dataclass
from typing import Any

Block = tuple[float, str, int, int]
"""Temperature, kind, prompt, repeat: what is run by all contenders in turn, and compared pair by pair."""


def frozen(values: dict[str, Any]) -> dict[str, Any]:
    """The fields of a value as JSON gives them, which has no tuples."""
    return {name: _frozen(value) for name, value in values.items()}


def _frozen(value: Any) -> Any:
    return tuple(_frozen(part) for part in value) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Run:
    """One contender's answer to one prompt, decoding only.

    `host_seconds` are those that the decoding thread itself was busy, not waiting for MLX. `rounds_by_draft` holds
    pairs (tokens drafted, rounds that drafted so many). `draft_ms` and `verify_ms` are what the decoder itself tells,
    None where it does not. `draft_passes` are the draft model's; None where a head drafted, whose passes nobody times
    by themselves. `token_ids` leaves out the end token. `peak_bytes` is None where others held memory meanwhile.
    """

    contender: str
    temperature: float
    kind: str
    prompt: int
    repeat: int
    token_ids: tuple[int, ...]
    seconds: float
    host_seconds: float
    rounds_by_draft: tuple[tuple[int, int], ...]
    tested: int
    accepted: int
    draft_passes: int | None
    draft_ms: float | None
    verify_ms: float | None
    peak_bytes: int | None

    @property
    def block(self) -> Block:
        """What it is compared within."""
        return self.temperature, self.kind, self.prompt, self.repeat

    @property
    def tokens(self) -> int:
        """Tokens of the answer."""
        return len(self.token_ids)

    @property
    def rounds(self) -> int:
        """Forward passes of the target."""
        return sum(rounds for _, rounds in self.rounds_by_draft)

    @property
    def tokens_per_second(self) -> float:
        """Decoding speed."""
        return self.tokens / self.seconds


@dataclass(frozen=True, slots=True)
class Passes:
    """The models by themselves, timed right after a block's runs, behind the same prompt.

    `verify_ms` holds pairs (tokens scored at once, milliseconds of the target), `draft_ms` is one draft pass over one
    token, None without a draft. `cache_bytes` is what the caches of both models hold at the end of a whole answer.
    """

    temperature: float
    kind: str
    prompt: int
    repeat: int
    verify_ms: tuple[tuple[int, float], ...]
    draft_ms: float | None
    cache_bytes: int

    @property
    def block(self) -> Block:
        """The runs that it belongs to."""
        return self.temperature, self.kind, self.prompt, self.repeat
