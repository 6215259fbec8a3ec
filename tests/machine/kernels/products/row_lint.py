"""Reads the text that a Mac would compile, and says where a row's sums could depend on the number of rows."""

import re
from typing import Final

from tests.machine.kernels.emulator.source import Traced

_ROW_LOOP: Final = ("uint row = 0", "row < ROWS", "row++")
# Where the number of rows may stand: in what a template is called with, as the length of an array that has a place for
# each row, and where it says which rows a tile reads and writes.
_ROWS: Final = (
    r"int ROWS\b",
    r", ROWS>",
    r"Tile<0, ROWS>",
    r"\[ROWS\]",
    r"\btile \* ROWS\b",
    r"size_t\(tile\) \* ROWS \+",
)
# And where a row: the place of its own sum, of its own inputs, and of its own products.
_ROW: Final = (r"\bsums\[i\]\[row\]", r"\bsize_t\(row\) \* inputs\b", r"\* ROWS \+ row\b")
# What a launch tells the kernel; how many rows there are is not among it.
_TOLD: Final = {
    "activations",
    "weights",
    "weights_shape",
    "scales",
    "biases",
    "experts",
    "products",
    "threads_per_threadgroup",  # the same for any number of rows: see `launches_alike`
    "threadgroup_position_in_grid",
    "simdgroup_index_in_threadgroup",
    "thread_index_in_simdgroup",
}


def complaints(traced: Traced) -> list[str]:
    """What is wrong, a line each; none where every sum is the same whatever ROWS is."""
    text = re.sub(r"//[^\n]*", "", traced.text)
    start = re.search(r"\[\[kernel\]\] void ", text)
    end = text.find("template [[host_name")
    assert start is not None
    body = text[text.index(") {", start.start()) : end if end > 0 else None]
    found = [f"it is told {name}" for name in sorted({one.name for one in traced.parameters} - _TOLD)]
    loops = re.findall(r"\bfor \(([^;]*); ([^;]*); ([^)]*)\)", text)
    found += [f"a loop depends on rows: {loop}" for loop in loops if _names_rows(loop) and loop != _ROW_LOOP]
    rest = re.sub(r"\bfor \([^;]*;[^;]*;[^)]*\)", "", text)
    found += _others(_without(rest, _ROWS), "ROWS")
    found += _others(_without(re.sub(r"\bfor \([^;]*;[^;]*;[^)]*\)", "", body), _ROW), "row")
    found += [
        f"a sum of another row: {sum_}"
        for sum_ in re.findall(r"\bsums\[[^;]*?\]\[[^\]]*\]", body)
        if "[row]" not in sum_ and "[ROWS]" not in sum_
    ]
    return found


def launches_alike(one: Traced, other: Traced) -> bool:
    """Whether two launches differ in ROWS alone, but for how many tiles they have."""
    return one.threadgroup == other.threadgroup and one.grid[0] == other.grid[0] and _plain(one) == _plain(other)


def _plain(traced: Traced) -> str:
    """The text without its name and what it is instantiated with."""
    return traced.text.replace(traced.name, "kernel").replace(traced.template, "")


def _names_rows(parts: tuple[str, ...]) -> bool:
    return any(re.search(r"\b(ROWS|row)\b", part) for part in parts)


def _without(text: str, allowed: tuple[str, ...]) -> str:
    for pattern in allowed:
        text = re.sub(pattern, "", text)
    return text


def _others(text: str, word: str) -> list[str]:
    return [f"{word} elsewhere: {line.strip()}" for line in text.splitlines() if re.search(rf"\b{word}\b", line)]
