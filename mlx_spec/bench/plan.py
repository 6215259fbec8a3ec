"""What one measurement is to cover: contenders, prompts, temperatures, lengths. Validated on construction."""

import re
from dataclasses import dataclass
from typing import Final

from mlx_spec.bench.prompts import KINDS
from mlx_spec.config import LOOKAHEAD_LIMIT, SamplingParams
from mlx_spec.errors import ConfigError

BASELINE: Final = "mlx-lm"
MLX_LM_SPECULATION: Final = "mlx-lm-speculation"
PLAIN: Final = "plain"
FIXED: Final = "fixed"
RULES: Final = ("token", "block")
"""Acceptance rules other than `coupled`, each at the fixed length. At temperature 0 all rules are one."""
CONTENDERS: Final = (BASELINE, MLX_LM_SPECULATION, PLAIN, FIXED, *RULES, "ngram", "model", "auto")
CORE: Final = (BASELINE, MLX_LM_SPECULATION, PLAIN, FIXED, "auto")
SWEEP_KINDS: Final = ("chat", "code", "copy-edit", "list", "prose")
SWEEP_LENGTHS: Final = range(1, 9)
_OF_A_LENGTH: Final = re.compile(r"(model|ngram):([1-9][0-9]?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPlan:
    """What to measure.

    `prompts` counts those of each kind, `answer_tokens` is the longest answer, `lookahead` the fixed length that both
    mlx-lm's speculation and ours draft, `repeats` how often everything is run, each time with another seed. mlx-lm's
    plain decoding, against which the ratios are, is always among the contenders. With `past_end` answers go on behind
    the model's end token, so that all have the same length.

    Raises ConfigError, which names the option, the value and what is allowed.
    """

    contenders: tuple[str, ...] = CONTENDERS
    kinds: tuple[str, ...] = KINDS
    temperatures: tuple[float, ...] = (0.0, 0.7, 1.0)
    prompts: int = 3
    repeats: int = 2
    answer_tokens: int = 64
    lookahead: int = 2
    past_end: bool = False

    def __post_init__(self) -> None:
        for name in self.contenders:
            length = length_of(name)
            if name not in CONTENDERS and (length is None or length > LOOKAHEAD_LIMIT):
                allowed = f"{', '.join(CONTENDERS)}, or model:N or ngram:N for a fixed length up to {LOOKAHEAD_LIMIT}"
                raise ConfigError("contenders", name, f"of these: {allowed}")
        for kind in self.kinds:
            if kind not in KINDS:
                raise ConfigError("kinds", kind, f"of these: {', '.join(KINDS)}")
        for field, values in (("contenders", self.contenders), ("kinds", self.kinds)):
            if not values:
                raise ConfigError(field, "", "at least one name")
        if not self.temperatures:
            raise ConfigError("temperatures", "", "at least one number")
        for temperature in self.temperatures:
            SamplingParams(temperature=temperature)
        for field, value, low, high in (
            ("prompts", self.prompts, 1, None),
            ("repeats", self.repeats, 1, None),
            ("lookahead", self.lookahead, 1, LOOKAHEAD_LIMIT),
            ("answer_tokens", self.answer_tokens, 2, None),
        ):
            if value < low or (high is not None and value > high):
                most = f"from {low} to {high}" if high is not None else f"of at least {low}"
                raise ConfigError(field, value, f"a whole number {most}")
        ordered = dict.fromkeys((BASELINE, *self.contenders))
        object.__setattr__(self, "contenders", tuple(ordered))

    def contenders_at(self, temperature: float) -> tuple[str, ...]:
        """The contenders that differ from each other at a temperature."""
        greedy = SamplingParams(temperature=temperature).greedy
        return tuple(name for name in self.contenders if not (greedy and name in RULES))

    def title(self, contender: str) -> str:
        """A contender's name for people."""
        fixed = f"ours model, {self.lookahead}"
        known = {
            BASELINE: "mlx-lm plain",
            MLX_LM_SPECULATION: f"mlx-lm spec., {self.lookahead}",
            PLAIN: "ours plain",
            FIXED: fixed,
            "ngram": "ours ngram, auto",
            "model": "ours model, auto",
            "auto": "ours auto",
        }
        known |= {rule: f"{fixed}, {rule}" for rule in RULES}
        drafter, _, length = contender.partition(":")
        return known.get(contender, f"ours {drafter}, {length}")


def length_of(contender: str) -> int | None:
    """The length of a contender `model:N` or `ngram:N`; None for any other."""
    found = _OF_A_LENGTH.fullmatch(contender)
    return int(found[2]) if found else None


def needs_draft(contender: str) -> bool:
    """Whether a contender cannot do without a draft model."""
    return contender in (MLX_LM_SPECULATION, FIXED, *RULES, "model") or contender.startswith("model:")


def names_in(text: str) -> tuple[str, ...]:
    """The names in a list with commas, as an option has it."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def numbers_in(field: str, text: str) -> tuple[float, ...]:
    """The numbers in a list with commas. Raises ConfigError."""
    try:
        return tuple(float(name) for name in names_in(text))
    except ValueError as error:
        raise ConfigError(field, text, "numbers with commas between them, as in 0,0.7,1") from error


def sweep_contenders() -> tuple[str, ...]:
    """Every fixed length from 0, which is plain decoding, to 8, and the chosen lengths that compete with them."""
    return (BASELINE, PLAIN, *(f"model:{length}" for length in SWEEP_LENGTHS), "model", "auto")
