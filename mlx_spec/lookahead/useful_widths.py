"""Which widths of passes are worth being measured: of those that cost alike the widest will do, as passes are padded to
it, and none that costs as much for each token as for the first needs to be waited for. Pure but for the clock."""

from collections.abc import Callable, Sequence
from typing import Final

# A pass that costs nearly as much for each token as for the first: wider ones need not be waited for.
_PROPORTIONAL: Final = 0.8
_FIRST_TELLING: Final = 3
_ALIKE: Final = 1.05


def useful_widths(
    pass_ms: Callable[[int], float],
    widths: Sequence[int],
    tell: Callable[[float], object],
    *,
    skips: bool = False,
) -> list[int]:
    """Those of `widths` (ascending, from 1) to measure, by what a first pass of each takes; none beyond the first that
    costs nearly as much for each token as for one. `tell` hears how far it is, from 0 to 1.

    Where it `skips`, none between two that cost alike either: over a slow wire a pass takes as long for 48 rows as for
    one, and all widths would be minutes.
    """
    pass_ms(1)  # allocates
    taken = {1: pass_ms(1)}
    for done, width in enumerate(widths[1:]):
        if skips and width > _FIRST_TELLING:
            return _between(pass_ms, taken, [*taken, *widths[done + 1 :]], tell)
        tell(done / len(widths))
        taken[width] = pass_ms(width)
        if width >= _FIRST_TELLING and taken[width] > taken[1] * (1 + _PROPORTIONAL * (width - 1)):
            break
    return sorted(taken)


def _between(
    pass_ms: Callable[[int], float], taken: dict[int, float], widths: Sequence[int], tell: Callable[[float], object]
) -> list[int]:
    """Halve what lies between two widths until they cost alike."""

    def cost(at: int) -> float:
        if (width := widths[at]) not in taken:
            tell(len(taken) / len(widths))
            pass_ms(width)  # builds its graph
            taken[width] = pass_ms(width)
        return taken[width]

    def halve(low: int, high: int) -> None:
        if high - low > 1 and cost(high) > _ALIKE * cost(low):
            middle = (low + high) // 2
            cost(middle)
            halve(low, middle)
            halve(middle, high)

    first = len(taken) - 1
    cost(len(widths) - 1)
    halve(first, len(widths) - 1)
    return sorted(taken)
