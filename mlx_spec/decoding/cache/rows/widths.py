"""Up to how many rows a pass may have so that each row has the bits that it has alone. Values; knows no model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

LEAST_STRICT: Final = 4
"""Passes of fewer rows leave too little to draft, so that strict is the default only from here on."""


@dataclass(frozen=True, slots=True)
class PartWidth:
    """A `part` of a pass, in words, and the widest that was found to leave each row its bits."""

    part: str
    width: int


@dataclass(frozen=True, slots=True)
class RowWidths:
    """What was found of one model on one machine.

    `width` is that of whole passes, of one answer or of several, and no less than 1: a plain step. None: any number.
    `trees`: whether the rows of a tree have the bits of its paths, too. `parts` were tried one by one, up to `tried`
    rows; none where it is known how they are computed. `by_row`: attention goes row by row (`passes/by_row.py`), not
    through MLX's own. `price` is what a strict plain step takes, in fast ones: where its products or its attention are
    made with kernels of ours that may be more than one.
    """

    width: int | None
    trees: bool = True
    parts: tuple[PartWidth, ...] = ()
    tried: int | None = None
    by_row: bool = False
    price: float = 1.0

    @property
    def allows_strict(self) -> bool:
        """Whether strict passes are wide enough to be the default. By the price, the clock would decide words."""
        return self.allows(LEAST_STRICT)

    def allows(self, rows: int) -> bool:
        """Whether a pass over so many rows leaves each its bits."""
        return self.width is None or rows <= self.width

    @property
    def limit(self) -> str:
        """What keeps whole passes from being wider, in a sentence."""
        if self.width is None:
            return "Nothing limits it: rows are computed one by one."
        ours = " Attention goes row by row, through a kernel of ours." if self.by_row else ""
        if self.width == self.tried:
            return f"Nothing limits it up to {self.width} rows, as many as were tried.{ours}"
        least = min((one.width for one in self.parts), default=None)
        narrowest = [one.part for one in self.parts if one.width == least]
        if least is None or least > self.width:
            alone = f", which allow {least} rows each," if least is not None else ""
            return (
                f"None of its products and attention limits it to {_rows(self.width)}{alone} but what stands between "
                f"them, or that the rows are of several answers.{ours}"
            )
        others = len(narrowest) - 1
        also = f", and {others} other part{'s' if others > 1 else ''}" if others else ""
        return f"Limited to {_rows(self.width)} by {narrowest[0]}{also}.{ours}"

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        parts = [[one.part, one.width] for one in self.parts]
        return {
            "width": self.width,
            "trees": self.trees,
            "parts": parts,
            "tried": self.tried,
            "by_row": self.by_row,
            "price": self.price,
        }


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def any_width(*, trees: bool = True) -> RowWidths:
    """Rows are computed one by one, so that they cannot know of each other."""
    return RowWidths(None, trees)


ANY: Final = any_width()


def widths_of(kept: Mapping[str, Any]) -> RowWidths | None:
    """From what a file holds; None where that makes no sense."""
    try:
        width, tried = kept["width"], kept["tried"]
        parts = tuple(PartWidth(str(part), int(most)) for part, most in kept["parts"])
        by_row, price = kept["by_row"] is True, float(kept["price"])
        if width is None and tried is None:
            return any_width(trees=bool(kept["trees"]))
        sound = type(width) is int and type(tried) is int and 1 <= width <= tried and 0 < price < 1e3
        return RowWidths(width, bool(kept["trees"]), parts, tried, by_row, price) if sound else None
    except (KeyError, TypeError, ValueError):
        return None
