"""What the command line says of every answer."""

from dataclasses import dataclass

from mlx_spec.cli.terminal.sampling import SamplingOptions
from mlx_spec.config import AcceptanceRule, DrafterName, Keeping


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOptions:
    """None leaves a setting to the prompt file."""

    target: str | None
    draft: str | None
    pair: str | None
    drafter: DrafterName
    lookahead: str | None
    acceptance: AcceptanceRule
    kv_bits: int | None
    max_tokens: int | None
    sampling: SamplingOptions
    anyway: bool
    keeping: Keeping
