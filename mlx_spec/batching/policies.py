"""Who goes first of those who wait: five orders, and the ageing that none of them goes without.

**Ageing, and the bound that it keeps.** Whenever somebody is let on, all who wait and arrived earlier have been
overtaken once more. Who was overtaken `patience` times is *aged*, and goes before all who are not; the aged go in the
order of arrival. So nobody is ever overtaken by more than `patience` later arrivals: an aged entry can only stand
behind aged entries, and of these only behind earlier ones. And nobody is passed over because others are smaller: where
the first does not fit, nobody is let on, and those who are on end or step aside for those with more work done. With
E the earlier arrivals that are not done, an entry is let on after at most E + `patience` others.
"""

import math
from collections.abc import Callable
from typing import Final

from mlx_spec.batching.entry import PRIORITIES, Entry
from mlx_spec.batching.settings import PolicyName

Key = tuple[int, float, bool, int]
_LEVELS: Final = {priority: float(-level) for level, priority in enumerate(PRIORITIES)}


def _no_rank(entry: Entry) -> float:
    """First come, first served: nobody outranks anybody."""
    return 0.0


def _tokens_left(entry: Entry) -> float:
    """Fewest tokens left first, to read and to write: of those who write as they were asked, the soonest done."""
    return float(entry.tokens_left)


def _level(entry: Entry) -> float:
    """High before normal before low."""
    return _LEVELS[entry.priority]


def _due(entry: Entry) -> float:
    """The earliest deadline first, and those without one last."""
    return math.inf if entry.due_ms is None else entry.due_ms


_RANKS: Final[dict[PolicyName, Callable[[Entry], float]]] = {
    "fcfs": _no_rank,
    "shortest": _tokens_left,
    "priority": _level,
    "deadline": _due,
    # Iteration-level scheduling (Yu et al. 2022, OSDI, Algorithm 1). Each step forms the batch anew, in the order of
    # arrival, out of answers in all phases: one is read in the step in which others are written (the paper's selective
    # batching: what rows have in common is computed for all rows, attention for each answer by itself). A request
    # comes in where its reservation fits in what the others have not reserved: slots for all the tokens that it may
    # ever have, prompt and longest answer. So none ever runs out of blocks, and nobody steps aside; fewer are on than
    # by `fcfs`, which lets on by what is needed now. The paper reads a prompt whole; here it is read in chunks.
    "orca": _no_rank,
}


def reserves_all(policy: PolicyName) -> bool:
    """Whether an answer takes at once all blocks that it may ever need."""
    return policy == "orca"


def order_of(policy: PolicyName, patience: int) -> Callable[[Entry], Key]:
    """What to sort those by who wait: the aged, by arrival; then by rank, at the same rank those who had begun and
    stepped aside before newcomers, and then by arrival."""
    rank = _RANKS[policy]

    def key(entry: Entry) -> Key:
        if entry.overtaken >= patience:
            return 0, 0.0, False, entry.arrival
        return 1, rank(entry), not entry.stepped_aside, entry.arrival

    return key
