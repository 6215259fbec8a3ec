"""Which rank of a pipeline has how many layers, so that all hold alike. Numbers only: it needs no MLX."""

from collections.abc import Callable, Sequence
from itertools import accumulate


def balanced(
    layers: Sequence[int],
    first: int,
    last: int,
    room: Sequence[float],
    allowed: Callable[[int, int], bool] = lambda begin, end: True,
) -> tuple[int, ...]:
    """How many layers each rank has, rank 0 first, so that the fullest is as little full as can be.

    `layers` are bytes of each, `first` of what the first layer's rank has besides (the embedding), `last` of what the
    last layer's has (the head). `room` is what each rank can hold, rank 0 first, in any unit. A rank may have those
    from `begin` to before `end` only where that is `allowed`; where no division is, nobody asks. Every rank has a
    layer: raises ValueError where there are fewer layers than ranks.
    """
    count, ranks = len(layers), len(room)
    if count < ranks:
        raise ValueError(f"{count} layers are fewer than {ranks} ranks")
    ends = [0, *accumulate(layers)]
    # In the order of a pass: the last rank has the first layers.
    order = list(reversed(range(ranks)))

    def fullness(position: int, begin: int, end: int) -> float:
        held = ends[end] - ends[begin] + (first if position == 0 else 0) + (last if position == ranks - 1 else 0)
        return held / room[order[position]]

    # best[end]: the fullest of the ranks so far, which have the layers before `end`, and how many each has.
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
    for position in range(ranks):
        left = ranks - position - 1
        found = {
            end: [
                (max(full, fullness(position, begin, end)), (*counts, end - begin))
                for begin, (full, counts) in best.items()
                if begin < end and allowed(begin, end)
            ]
            for end in range(position + 1, count - left + 1)
        }
        best = {end: min(ways) for end, ways in found.items() if ways}
    if count not in best:
        return balanced(layers, first, last, room)
    return tuple(reversed(best[count][1]))
