"""Pairs for this machine: which of the known ones fit its memory with room to spare, and how fast they ought to be.

Nothing is fetched to know that, and no network is asked: sizes are told by the models' names, as "14B" and "4bit", and
so they are about right. What a model really takes `library.judge` tells, and how fast a pair really is, a race.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from mlx_spec.models.pairs import STARTER, Pair
from mlx_spec.models.races import facts_of
from mlx_spec.models.room import COMFORTABLE

Role = Literal["largest", "code", "quick"]
Speedup = Callable[[float, int, float], float]

ASSUMED_ACCEPTANCE: Final = 0.7
"""Of drafted tokens, where nobody has measured it. Drafts of a target's own family mostly have 0.6 to 0.8."""
_LONGEST: Final = 8
_LEAST_QUICK: Final = 2.5e9
"""Parameters: smaller targets answer fast, but what they say is of little use."""
_QUICK_SHARE: Final = 10  # the quick one is no smaller than a tenth of the largest
# Names round down (a "14B" has 14.8), and embeddings are often kept in more bits.
_NAMES_ROUND: Final = 1.06
# Besides the weights: caches at the usual context, and what a pass works with. Two families' models of 8 to 14 billion
# parameters have caches of a fifth to a quarter of their 4-bit weights there, larger ones less.
_CACHES_SHARE: Final = 0.22
_WORKING_BYTES: Final = 300_000_000
_BEARABLE: Final = 2.0  # tokens a second, of those that plain decoding cannot exceed
_SIZE: Final = re.compile(r"(?<![a-z0-9.])(a?)(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", re.IGNORECASE)
_BITS: Final = re.compile(r"(?<![a-z0-9])(\d)bit(?![a-z0-9])", re.IGNORECASE)
_FULL_BITS: Final = 16
_SCALE_BITS: Final = 0.5  # of a group of 64 weights with 16 bits for its scale and 16 for its bias


@dataclass(frozen=True, slots=True)
class NamedSize:
    """What a name tells of a model: all its weights, and those that a token takes, fewer in a mixture of experts."""

    parameters: float
    weights_bytes: float
    step_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A pair that fits, and why it is offered. Sizes in bytes, of target and draft together; about right.

    `plain_rate` is what plain decoding cannot exceed here, in tokens a second; `drafted_rate` the same with the draft,
    where `ASSUMED_ACCEPTANCE` of its tokens stand. None where the memory's speed was not measured yet, or where drafts
    are not known to pay.
    """

    pair: Pair
    role: Role
    weights_bytes: int
    needed_bytes: int
    plain_rate: float | None
    drafted_rate: float | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, with the pair's last race on this machine."""
        return asdict(self) | {"pair": facts_of(self.pair)}


def named_size(name: str) -> NamedSize | None:
    """The size that a model's name tells; None where it tells none, as "phi-4" does."""
    found = _SIZE.findall(name.rpartition("/")[2])
    counts = {active: float(number) * (1e9 if unit in "bB" else 1e6) for active, number, unit in reversed(found)}
    if (parameters := counts.get("")) is None:
        return None
    bits = _BITS.search(name)
    bytes_each = (int(bits[1]) + _SCALE_BITS if bits else _FULL_BITS) / 8 * _NAMES_ROUND
    active = counts.get("A", counts.get("a", parameters))
    return NamedSize(parameters, parameters * bytes_each, active * bytes_each)


def suggest(
    pairs: Sequence[Pair],
    available_bytes: int,
    bandwidth_bytes_per_s: float | None,
    speedup: Speedup,
    *,
    drafts_pay: bool,
) -> list[Suggestion]:
    """Up to three of `pairs` with targets of their own: the largest that fits, one for code, and a quick one.

    `speedup` is `lookahead.theory.expected_speedup`. `drafts_pay` says whether a pass over several tokens costs about
    as much as one over a single one, as on a GPU; on a CPU quantised weights cost as often as there are tokens. What
    could not write two tokens a second is not offered.
    """
    fitting = [one for one in _sized(pairs) if _needed(*one) <= COMFORTABLE * available_bytes]
    if bandwidth_bytes_per_s:
        fitting = [one for one in fitting if bandwidth_bytes_per_s / one[1].step_bytes >= _BEARABLE]
    if not fitting:
        return []
    largest = max(fitting, key=lambda one: one[1].parameters)
    least = max(_LEAST_QUICK, largest[1].parameters / _QUICK_SHARE)
    code = [one for one in fitting if "coder" in one[0].target.lower()]
    quick = [one for one in fitting if one[1].parameters >= least]
    wishes: list[tuple[Role, list[tuple[Pair, NamedSize]]]] = [
        ("largest", [largest]),
        ("code", sorted(code, key=lambda one: -one[1].parameters)),
        ("quick", sorted(quick, key=lambda one: one[1].step_bytes)),
    ]
    chosen: list[Suggestion] = []
    for role, wanted in wishes:
        taken = {one.pair.target for one in chosen}
        found = next((one for one in wanted if one[0].target not in taken), None)
        if found is not None:
            chosen.append(_suggestion(*found, role, bandwidth_bytes_per_s, speedup if drafts_pay else None))
    return chosen


def _sized(pairs: Sequence[Pair]) -> list[tuple[Pair, NamedSize]]:
    """Those whose names tell their sizes: not the starter, which is here, and no heads, whose names are the target's.
    Two vocabularies make a draft worth less than is reckoned here."""
    offered = [pair for pair in pairs if pair.name != STARTER and pair.kind == "same" and pair.verified]
    sized = [(pair, named_size(pair.target)) for pair in offered if named_size(pair.draft) is not None]
    return [(pair, size) for pair, size in sized if size is not None]


def _needed(pair: Pair, target: NamedSize) -> float:
    return _weights(pair, target) + target.weights_bytes * _CACHES_SHARE + _WORKING_BYTES


def _weights(pair: Pair, target: NamedSize) -> float:
    draft = named_size(pair.draft)
    return target.weights_bytes + (draft.weights_bytes if draft else 0.0)


def _suggestion(
    pair: Pair, target: NamedSize, role: Role, bandwidth: float | None, speedup: Speedup | None
) -> Suggestion:
    plain = bandwidth / target.step_bytes if bandwidth else None
    draft = named_size(pair.draft)
    drafted = None
    if plain is not None and speedup is not None and draft is not None:
        share = draft.step_bytes / target.step_bytes
        drafted = plain * max(speedup(ASSUMED_ACCEPTANCE, gamma, share) for gamma in range(1, _LONGEST + 1))
    return Suggestion(
        pair=pair,
        role=role,
        weights_bytes=round(_weights(pair, target)),
        needed_bytes=round(_needed(pair, target)),
        plain_rate=plain,
        drafted_rate=drafted,
    )
