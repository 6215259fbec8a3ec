"""What each mode compares: its sides, the ratios that are wanted of them, and the scope that is its own.

All ratios are greater where the first side is better.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from mlx_spec.bench.paired.chats import TURNS
from mlx_spec.bench.paired.runs import PairedRun

ModeName = Literal["cold", "disturbed", "beside", "turns", "turns-beside", "predicted"]

AUTO: Final = "auto"
NONE: Final = "none"
PLAIN: Final = "plain"
AUTO_DISTURBED: Final = "auto, disturbed"
PLAIN_DISTURBED: Final = "plain, disturbed"
OURS: Final = "ours"
THEIRS: Final = "theirs"
PREFIXES: Final = "prefixes"
COLD: Final = "cold"
UNPREDICTED: Final = "unpredicted"
RIGHT: Final = "right"
WRONG: Final = "wrong"


@dataclass(frozen=True, slots=True)
class Measure:
    """`of` a run of `side` over `of` the run of `reference` in the same block, under a heading of two lines; only in
    one `turn`, where the mode has turns."""

    heading: str
    side: str
    reference: str
    of: Callable[[PairedRun], float | None]
    turn: int | None = None


@dataclass(frozen=True, slots=True)
class Mode:
    """One of the paired measurements. `preset` are the values of its `Scope` that differ from a scope's own, `settled`
    those that no option changes; `promises` says that both sides must say the same, which another engine does not."""

    name: ModeName
    title: str
    sides: tuple[str, ...]
    measures: tuple[Measure, ...]
    preset: dict[str, Any]
    promises: bool
    settled: dict[str, Any] = field(default_factory=dict)


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


def _first_text_rate(run: PairedRun) -> float | None:
    return run.first_text_rate


def _of_turns(name: ModeName, title: str, side: str, reference: str, *, promises: bool) -> Mode:
    """First texts of chats, turn by turn."""
    return Mode(
        name,
        title,
        (side, reference),
        tuple(
            Measure(f"turn {turn},\n{side} / {reference}", side, reference, _first_text_rate, turn)
            for turn in range(1, TURNS + 1)
        ),
        {"temperatures": (0.0,), "prompts": 3, "repeats": 1, "answer_tokens": 32},
        promises=promises,
        settled={"kinds": ("chat",)},
    )


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
            Measure("first text,\nours / theirs", OURS, THEIRS, _first_text_rate),
        ),
        _CHAT,
        promises=False,
    ),
    "predicted": Mode(
        "predicted",
        "a file written again with three changes, predicted rightly but for these, all wrongly, or not at all",
        (PLAIN, UNPREDICTED, RIGHT, WRONG),
        (
            Measure("right\n/ plain", RIGHT, PLAIN, _speed),
            Measure("unpredicted\n/ plain", UNPREDICTED, PLAIN, _speed),
            Measure("right\n/ unpredicted", RIGHT, UNPREDICTED, _speed),
            Measure("wrong\n/ unpredicted", WRONG, UNPREDICTED, _speed),
            Measure("wrong\n/ plain", WRONG, PLAIN, _speed),
            Measure("tokens a round,\nright / unpredicted", RIGHT, UNPREDICTED, _tokens_per_round),
        ),
        {"temperatures": (0.0,), "prompts": 2, "repeats": 1, "answer_tokens": 640, "slices": 32},
        promises=True,
        settled={"kinds": ("edit",)},
    ),
    "turns": _of_turns("turns", "first text of chats, with prefixes kept against cold", PREFIXES, COLD, promises=True),
    "turns-beside": _of_turns(
        "turns-beside", "first text of chats, our server against another, streaming", OURS, THEIRS, promises=False
    ),
}
