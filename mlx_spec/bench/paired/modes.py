"""What each mode compares: its sides, the ratios that are wanted of them, and the scope that is its own.

All ratios are greater where the first side is better.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from mlx_spec.bench.paired.runs import PairedRun

ModeName = Literal["cold", "disturbed", "beside"]

AUTO: Final = "auto"
NONE: Final = "none"
PLAIN: Final = "plain"
AUTO_DISTURBED: Final = "auto, disturbed"
PLAIN_DISTURBED: Final = "plain, disturbed"
OURS: Final = "ours"
THEIRS: Final = "theirs"


@dataclass(frozen=True, slots=True)
class Measure:
    """`of` a run of `side` over `of` the run of `reference` in the same block, under a heading of two lines."""

    heading: str
    side: str
    reference: str
    of: Callable[[PairedRun], float | None]


@dataclass(frozen=True, slots=True)
class Mode:
    """One of the paired measurements. `preset` are the values of its `Scope` that differ from a scope's own; `promises`
    says that both sides must say the same, which another engine does not."""

    name: ModeName
    title: str
    sides: tuple[str, ...]
    measures: tuple[Measure, ...]
    preset: dict[str, Any]
    promises: bool


_CHAT: Final[dict[str, Any]] = {
    "kinds": ("chat",),
    "temperatures": (0.0,),
    "prompts": 10,
    "repeats": 1,
    "answer_tokens": 96,
}


def _speed(run: PairedRun) -> float | None:
    return run.speed


def _tokens_per_round(run: PairedRun) -> float | None:
    return run.tokens_per_round


MODES: Final[dict[ModeName, Mode]] = {
    "cold": Mode(
        "cold",
        "fresh processes of `mlx-spec generate`, --drafter auto against --drafter none",
        (AUTO, NONE),
        (
            Measure("decoding,\nauto / none", AUTO, NONE, _speed),
            Measure("process,\nauto / none", AUTO, NONE, lambda run: run.process_rate),
        ),
        _CHAT,
        promises=True,
    ),
    "disturbed": Mode(
        "disturbed",
        "one warm process, while another takes a core every other second",
        (AUTO, PLAIN, AUTO_DISTURBED, PLAIN_DISTURBED),
        (
            Measure("disturbed,\nauto / plain", AUTO_DISTURBED, PLAIN_DISTURBED, _speed),
            Measure("quiet,\nauto / plain", AUTO, PLAIN, _speed),
            Measure("tokens a round,\ndisturbed / quiet", AUTO_DISTURBED, AUTO, _tokens_per_round),
            Measure("plain,\ndisturbed / quiet", PLAIN_DISTURBED, PLAIN, _speed),
        ),
        _CHAT | {"slices": 8},
        promises=True,
    ),
    "beside": Mode(
        "beside",
        "our server against another, streaming",
        (OURS, THEIRS),
        (
            Measure("decoding,\nours / theirs", OURS, THEIRS, _speed),
            Measure("first text,\nours / theirs", OURS, THEIRS, lambda run: run.first_text_rate),
        ),
        _CHAT,
        promises=False,
    ),
}
