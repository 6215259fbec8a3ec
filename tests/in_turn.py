"""Tests of every family under every setting, thinned: each family takes one of the settings in turn.

`@pytest.mark.in_turn` stands for that. `LOOKAHEAD_EVERY_TEST=1` has all of them run, and so has whoever names a test.
"""

from collections.abc import Sequence
from typing import Any


def thinned(items: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Those of `items`, collected tests, that are run, and those that are left out: of a test in turn each value of the
    parameter that has the most is run, with the other parameters' in turn."""
    together: dict[str, list[Any]] = {}
    for item in items:
        if item.get_closest_marker("in_turn") is not None:
            together.setdefault(item.nodeid.partition("[")[0], []).append(item)
    left_out = [item for every in together.values() for item in _left_out(every)]
    ids = set(map(id, left_out))
    return [item for item in items if id(item) not in ids], left_out


def _left_out(every: list[Any]) -> list[Any]:
    ids = [item.callspec._idlist for item in every]
    values = [list(dict.fromkeys(column)) for column in zip(*ids, strict=True)]
    longest = max(range(len(values)), key=lambda place: len(values[place]))
    groups: dict[str, list[Any]] = {value: [] for value in values[longest]}
    for item, its in zip(every, ids, strict=True):
        groups[its[longest]].append(item)
    return [
        item
        for turn, group in enumerate(groups.values())
        for place, item in enumerate(group)
        if place != turn % len(group)
    ]
