"""What is left out of the everyday run is a setting of a family, never a family, nor a setting."""

from dataclasses import dataclass, field
from itertools import product
from types import SimpleNamespace
from typing import Any

from tests.in_turn import thinned


@dataclass
class Collected:
    nodeid: str
    callspec: Any = field(default_factory=SimpleNamespace)
    marked: bool = True

    def get_closest_marker(self, name: str) -> str | None:
        return name if self.marked and name == "in_turn" else None


def collected(name: str, *values: str, marked: bool = True) -> list[Collected]:
    return [
        Collected(f"tests/a.py::{name}[{'-'.join(ids)}]", SimpleNamespace(_idlist=list(ids)), marked)
        for ids in product(*values)
    ]


def run(items: list[Collected]) -> list[Collected]:
    kept, left_out = thinned(items)
    assert sorted(map(id, [*kept, *left_out])) == sorted(map(id, items))
    return kept


def test_each_family_has_one_setting_and_each_setting_some_families() -> None:
    every = collected("test_one", "abcde", "xyz")
    assert [item.callspec._idlist for item in run(every)] == [list(ids) for ids in ("ax", "by", "cz", "dx", "ey")]
    turned = collected("test_one", "xy", "abcd")
    assert ["".join(item.callspec._idlist) for item in run(turned)] == ["xa", "xc", "yb", "yd"]


def test_other_tests_are_all_run() -> None:
    others = [*collected("test_two", "abc", "xy", marked=False), *collected("test_three", "abc")]
    assert thinned(others) == (others, [])
    in_turn = [*collected("test_one", "abc", "xy"), *collected("test_four", "ab", "xy")]
    assert len(run([*others, *in_turn])) == 9 + 3 + 2
