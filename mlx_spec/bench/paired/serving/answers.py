"""The raw material: answers with the times at which their texts came, and what was asked together."""

from dataclasses import dataclass
from typing import Any

from mlx_spec.bench.runs import frozen


@dataclass(frozen=True, slots=True)
class ServedAnswer:
    """One answer as its client saw it. Seconds count from the beginning of its wave.

    `number` is that of its text, which no other question of the measurement has. `text_s` are the times of its texts,
    `end_s` that of its end. `error` is the sentence of a server that failed; then the rest is what came until then.
    Where it `refused`, it had too many to answer and said so.
    `same_alone`: whether the same server said the same when it was asked this alone; None where nobody compared.
    """

    number: int
    asked_s: float
    text_s: tuple[float, ...]
    end_s: float
    tokens: int
    text: str
    error: str | None = None
    same_alone: bool | None = None
    refused: bool = False

    @property
    def first_text_s(self) -> float | None:
        """The wait for the first text; None where none came."""
        return self.text_s[0] - self.asked_s if self.text_s else None

    @property
    def token_s(self) -> float | None:
        """Seconds a token behind the first text; None where all came at once."""
        if self.tokens < 2 or len(self.text_s) < 2:
            return None
        return (self.text_s[-1] - self.text_s[0]) / (self.tokens - 1)

    @property
    def gaps(self) -> tuple[tuple[float, float], ...]:
        """Between which times nothing came."""
        return tuple(zip(self.text_s, self.text_s[1:], strict=False))


@dataclass(frozen=True, slots=True)
class Served:
    """What one side was asked in one turn: waves of `at_once` questions, each when the one before it was answered.
    `others` and `stolen` are shares of all cores' time, see `Crowd`."""

    side: str
    at_once: int
    turn: int
    waves: tuple[tuple[ServedAnswer, ...], ...]
    others: float | None = None
    stolen: float | None = None

    @property
    def answers(self) -> tuple[ServedAnswer, ...]:
        """Of all waves."""
        return tuple(answer for wave in self.waves for answer in wave)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Served":
        """As `asdict` made it and JSON kept it."""
        waves = tuple(tuple(_answer(one) for one in wave) for wave in values["waves"])
        return cls(**values | {"waves": waves})


@dataclass(frozen=True, slots=True)
class Arrival:
    """A long prompt that came while others were being written; `prompt_tokens` as the server counts them."""

    side: str
    turn: int
    writers: tuple[ServedAnswer, ...]
    late: ServedAnswer
    prompt_tokens: int | None = None

    @property
    def answers(self) -> tuple[ServedAnswer, ...]:
        """All that were on."""
        return (*self.writers, self.late)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Arrival":
        """As above."""
        writers = tuple(_answer(one) for one in values["writers"])
        return cls(**values | {"writers": writers, "late": _answer(values["late"])})


@dataclass(frozen=True, slots=True)
class Load:
    """What one side was asked in one turn, so many a second (`rate`) on average, whoever was being answered. `others`
    and `stolen` as `Served` has them."""

    side: str
    rate: float
    turn: int
    answers: tuple[ServedAnswer, ...]
    others: float | None = None
    stolen: float | None = None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Load":
        """As above."""
        return cls(**values | {"answers": tuple(_answer(one) for one in values["answers"])})


def _answer(values: dict[str, Any]) -> ServedAnswer:
    return ServedAnswer(**frozen(values))
