"""What one measurement is to cover: contenders, prompts, temperatures, lengths. Validated on construction."""

import re
from dataclasses import dataclass
from typing import Final

from mlx_spec.bench.prompts import EDITS, KINDS
from mlx_spec.config import LOOKAHEAD_LIMIT, SamplingParams, SpeculativeConfig
from mlx_spec.errors import ConfigError

SEED: Final = 7
"""Of the first repeat; each further one has the next."""
BASELINE: Final = "mlx-lm"
MLX_LM_SPECULATION: Final = "mlx-lm-speculation"
PLAIN: Final = "plain"
FIXED: Final = "fixed"
RULES: Final = ("token", "block")
"""Acceptance rules other than `coupled`, each at the fixed length. At temperature 0 all rules are one."""
CONTENDERS: Final = (BASELINE, MLX_LM_SPECULATION, PLAIN, FIXED, *RULES, "ngram", "model", "eagle", "auto", "auto:tree")
CORE: Final = (BASELINE, MLX_LM_SPECULATION, PLAIN, FIXED, "auto")
SWEEP_KINDS: Final = ("chat", "code", "copy-edit", "list", "prose")
SWEEP_LENGTHS: Final = range(1, 9)
RACE_S: Final = 20.0
"""How long a pair is raced, in seconds, where nothing else is asked for."""
_OURS: Final = re.compile(
    r"(?P<drafter>ngram|model|eagle|medusa|dflash|self|auto)"
    r"(:((?P<length>[1-9][0-9]?)|(?P<tree>[1-9]x[1-9](:[1-9][0-9]{0,2})?)|(?P<trees>tree)))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which prompts are answered, how often and how long.

    `prompts` counts those of each kind, `answer_tokens` is the longest answer, `repeats` how often everything is run,
    each time with another seed. With `slices` contenders take turns within an answer, so many tokens each: a machine
    whose speed changes by the minute is then fair to long answers. 0: whole answers.

    Raises ConfigError, which names the option, the value and what is allowed.
    """

    kinds: tuple[str, ...] = KINDS
    temperatures: tuple[float, ...] = (0.0, 0.7, 1.0)
    prompts: int = 3
    repeats: int = 2
    answer_tokens: int = 64
    slices: int = 0

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in (*KINDS, EDITS):
                raise ConfigError("kinds", kind, f"of these: {', '.join(KINDS)}")
        if not self.kinds:
            raise ConfigError("kinds", "", "at least one name")
        if not self.temperatures:
            raise ConfigError("temperatures", "", "at least one number")
        for temperature in self.temperatures:
            SamplingParams(temperature=temperature)
        _check_whole("prompts", self.prompts, 1)
        _check_whole("repeats", self.repeats, 1)
        _check_whole("answer_tokens", self.answer_tokens, 2)
        _check_whole("slices", self.slices, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPlan(Scope):
    """What to measure: contenders over a scope.

    `lookahead` is the fixed length that both mlx-lm's speculation and ours draft. mlx-lm's plain decoding, against
    which the ratios are, is always among the contenders. With `past_end` answers go on behind the model's end token,
    so that all have the same length. All of them keep the target's keys and values in `kv_bits`, mlx-lm's too.

    Raises ConfigError as `Scope` does.
    """

    contenders: tuple[str, ...] = CONTENDERS
    lookahead: int = 2
    past_end: bool = False
    kv_bits: int | None = None

    def __post_init__(self) -> None:
        SpeculativeConfig(kv_bits=self.kv_bits)
        Scope.__post_init__(self)  # a dataclass with slots is a second class, which `super()` does not know
        for name in self.contenders:
            if name not in CONTENDERS and way_of(name) is None:
                allowed = (
                    f"{', '.join(CONTENDERS)}, or a drafter with a fixed length up to {LOOKAHEAD_LIMIT} (model:4), "
                    "a fixed tree (eagle:3x2), or trees that are chosen (eagle:tree)"
                )
                raise ConfigError("contenders", name, f"of these: {allowed}")
        if not self.contenders:
            raise ConfigError("contenders", "", "at least one name")
        _check_whole("lookahead", self.lookahead, 1, LOOKAHEAD_LIMIT)
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
            "auto:tree": "ours auto trees",
        }
        known |= {rule: f"{fixed}, {rule}" for rule in RULES}
        drafter, _, how = contender.partition(":")
        how = {"": "auto", "tree": "auto trees"}.get(how, how)
        return known.get(contender, f"ours {drafter}, {how}")


@dataclass(frozen=True, slots=True)
class Way:
    """How a contender of ours drafts: chains of a fixed `length`, a fixed `tree` as `--tree` has it, or, with
    neither, as the controller chooses, among `trees` too where they are wanted."""

    drafter: str
    length: int | None = None
    tree: str | None = None
    trees: bool = False


def way_of(contender: str) -> Way | None:
    """What `eagle`, `model:4`, `eagle:3x2`, `eagle:6x8:48` or `auto:tree` say; None for any other contender."""
    found = _OURS.fullmatch(contender)
    if found is None or int(found["length"] or 1) > LOOKAHEAD_LIMIT:
        return None
    length = int(found["length"]) if found["length"] else None
    return Way(found["drafter"], length, found["tree"], bool(found["trees"]))


def length_of(contender: str) -> int | None:
    """The length of a contender `model:N`, which others are compared with; None for any other."""
    way = way_of(contender)
    return way.length if way is not None and way.drafter == "model" else None


def drafter_of(contender: str) -> str | None:
    """The drafter that a contender cannot do without; None where it takes what there is."""
    if contender in (MLX_LM_SPECULATION, FIXED, *RULES):
        return "model"
    way = way_of(contender)
    return way.drafter if way is not None and way.drafter != "auto" else None


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


def _check_whole(field: str, value: int, low: int, high: int | None = None) -> None:
    if value < low or (high is not None and value > high):
        most = f"from {low} to {high}" if high is not None else f"of at least {low}"
        raise ConfigError(field, value, f"a whole number {most}")
