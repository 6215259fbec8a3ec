"""How many are asked at once, how often and for how long, and who takes part where."""

from dataclasses import dataclass
from typing import Final

from mlx_spec.errors import ConfigError

OURS: Final = "ours"
THEIRS: Final = "theirs"
BEFORE: Final = "before"
PLAIN: Final = "plain"
SIDES: Final = (OURS, PLAIN, BEFORE, THEIRS)
"""As they are told; `plain` is ours without drafts."""
PEER_LIMIT: Final = 8
"""mlx_lm.server drops connections where about a dozen come at once; beyond this ours is compared with itself alone."""
AT_ONCE_LIMIT: Final = 64
RATE_LIMIT: Final = 100.0
WRITERS: Final = 4
_WRITER_ANSWERS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ServePlan:
    """What is asked, at temperature 0: at least `prompts` prompts for each number of `at_once`, so many together, and
    all `repeats` times. Answers have up to `answer_tokens`. `past_end` goes on behind the model's end. With `rates` it
    is a load instead: of each rate, in requests a second, so many `prompts` come as they do from people who know
    nothing of each other.

    Raises ConfigError, which names the option, the value and what is allowed.
    """

    at_once: tuple[int, ...] = (1, 2, 4, 8, 16)
    prompts: int = 8
    repeats: int = 2
    answer_tokens: int = 64
    past_end: bool = False
    rates: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for rate in self.rates:
            if not 0 < rate <= RATE_LIMIT:
                raise ConfigError("load", rate, f"requests a second, above 0 and up to {RATE_LIMIT:g}")
        if not self.at_once and not self.rates:
            raise ConfigError("at_once", "", "at least one number")
        for number in self.at_once:
            if not 1 <= number <= AT_ONCE_LIMIT:
                raise ConfigError("at_once", number, f"numbers from 1 to {AT_ONCE_LIMIT}")
        for field, low in (("prompts", 1), ("repeats", 1), ("answer_tokens", 2)):
            if getattr(self, field) < low:
                raise ConfigError(field, getattr(self, field), f"a whole number of at least {low}")

    @property
    def writer_tokens(self) -> int:
        """How long those write among whom a long prompt arrives: it takes a while to read."""
        return _WRITER_ANSWERS * self.answer_tokens

    def waves(self, at_once: int) -> list[range]:
        """Which prompts, by their index, are asked together: all waves are full."""
        count = -(-self.prompts // at_once)
        return [range(wave * at_once, (wave + 1) * at_once) for wave in range(count)]

    def sides_at(self, at_once: int, sides: tuple[str, ...]) -> tuple[str, ...]:
        """Of all `sides` those that are asked so many at once: beyond PEER_LIMIT ours, with drafts and without."""
        if at_once > PEER_LIMIT:
            return tuple(side for side in (OURS, PLAIN) if side in sides)
        return tuple(side for side in sides if side != PLAIN)


def rates_in(text: str) -> tuple[float, ...]:
    """The rates in a list with commas, ascending, each once. Raises ConfigError."""
    try:
        return tuple(sorted({float(part) for part in text.split(",") if part.strip()}))
    except ValueError as error:
        raise ConfigError("load", text, "requests a second with commas between them, as in 0.5,1,2") from error


def turn_of(sides: tuple[str, ...], at: int) -> tuple[str, ...]:
    """In which order the sides have their turn number `at`, from 0: A B, B A, A B, …"""
    return sides if at % 2 == 0 else sides[::-1]


def numbers_at_once(text: str) -> tuple[int, ...]:
    """The numbers in a list with commas, ascending, each once. Raises ConfigError."""
    try:
        return tuple(sorted({int(part) for part in text.split(",") if part.strip()}))
    except ValueError as error:
        raise ConfigError("at_once", text, "whole numbers with commas between them, as in 1,2,4,8") from error
