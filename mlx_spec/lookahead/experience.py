"""What drafters have shown with a pair, kept on disk: a new process begins where the last answer ended.

Rates of acceptance and times only; nothing of anybody's words.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mlx_spec.lookahead.odds import Acceptance, Rate
from mlx_spec.machine.kept import keep, kept_path, read_kept
from mlx_spec.machine.resources import resources_folder

_VERSION: Final = 1
# What other processes saw weighs no more than so many texts of this one.
_MOST_TEXTS: Final = 16.0

Rates = tuple[tuple[float, float, float], ...]
"""By place in the chain: the share that was accepted, the share of rounds that drafted on so far, and of how many texts
these are the means."""


@dataclass(frozen=True, slots=True)
class Experience:
    """`accepted` holds the rates of a drafter at a trust (see `Option`), as "eagle/0"; `draft_steps` what a pass of a
    drafter took, and what each token that it had to read, as shares of a plain step of the target."""

    accepted: Mapping[str, Rates] = field(default_factory=dict)
    draft_steps: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def rates_of(acceptance: Acceptance) -> Rates:
    """What is to be kept of how a drafter's chains fare."""
    accepted, drafted = acceptance.priors_with_this_text()
    return tuple((rate.mean, far.mean, rate.weight) for rate, far in zip(accepted, drafted, strict=True))


def acceptance_of(rates: Rates) -> Acceptance:
    """How a drafter's chains are taken to fare in a first text, by what was kept: priors, and nothing of the text."""
    return Acceptance(
        prior_accepted=[Rate(min(texts, _MOST_TEXTS), share) for share, _, texts in rates],
        prior_drafted=[Rate(min(texts, _MOST_TEXTS), share) for _, share, texts in rates],
    )


class ExperienceFile:
    """The experience with one pair: at temperature 0 and above it drafts fare differently, so there are two."""

    def __init__(self, target: str, draft: str | None, *, shipped: Path | None = None) -> None:
        """`shipped` is read where nothing was kept yet."""
        self._path = kept_path("experience", [_VERSION, target, draft])
        self._shipped = shipped

    def read(self, *, greedy: bool) -> Experience:
        """What is known; nothing where nothing was kept, or what is there makes no sense."""
        for path in (self._path, self._shipped):
            if path is not None and (known := read_kept(path).get(_key(greedy))) is not None:
                return _experience(known)
        return Experience()

    def write(self, experience: Experience, *, greedy: bool) -> None:
        """Keep it. A folder that cannot be written is no obstacle: it is learnt again."""
        keep(self._path, read_kept(self._path) | written(experience, greedy=greedy))


def written(experience: Experience, *, greedy: bool) -> dict[str, Any]:
    """What a file holds of it."""
    key = _key(greedy)
    return {key: {"accepted": dict(experience.accepted), "draft_steps": dict(experience.draft_steps)}}


def shipped_with(pair_name: str) -> Path | None:
    """What comes with a pair of ours, measured on answers that it was not trained on; None where nothing does."""
    path = resources_folder() / pair_name / "experience.json"
    return path if path.is_file() else None


def _key(greedy: bool) -> str:
    return "greedy" if greedy else "sampled"


def _experience(kept: object) -> Experience:
    try:
        assert isinstance(kept, dict)
        accepted = {
            _named(name): tuple(
                (_within(share, 1.0), _within(drafted, 1.0), _within(n, 1e3)) for share, drafted, n in rates
            )
            for name, rates in kept["accepted"].items()
        }
        steps = {
            str(name): (_within(step, 1e3), _within(token, 1e3)) for name, (step, token) in kept["draft_steps"].items()
        }
    except (AssertionError, ValueError, KeyError, TypeError, AttributeError):
        return Experience()
    return Experience(accepted, steps)


def _named(name: str) -> str:
    """A drafter's name and its trust, as "eagle/0"."""
    drafter, _, trust = name.rpartition("/")
    if not drafter or not trust.isdecimal():
        raise ValueError(f"{name} names no drafter and trust")
    return name


def _within(value: object, most: float) -> float:
    number = float(value)  # type: ignore[arg-type]
    if not 0.0 <= number <= most:
        raise ValueError(f"{number} is not between 0 and {most}")
    return number
