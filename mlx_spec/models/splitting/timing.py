"""What the wire between the ranks costs: measured collectives, of the kinds and sizes that a pass makes.

The ranks measure together (`measure_links`), and the leader keeps what came of it (`keep_wire`). A pass is one graph,
in which nobody can stop the time of a part: so what a round tells of the wire is reckoned from these measurements, for
the collectives that its pass made, and only what passes cost as a whole decides how far is drafted.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import mlx.core as mx

from mlx_spec.models.splitting.links import Kind, Links
from mlx_spec.models.splitting.share import share_of
from mlx_spec.models.splitting.wire import hops_of, wire_of

_BYTES: Final = (4_096, 262_144)
"""What a rank puts into the two that are measured of each kind: a row of a small model, and many of a large one."""
_CHAINED: Final = 2
_REPEATS: Final = 2


@dataclass(frozen=True, slots=True)
class Cost:
    """A collective takes `fixed_ms`, and `ms_per_byte` for each byte that a rank puts in."""

    fixed_ms: float
    ms_per_byte: float

    def at(self, nbytes: float) -> float:
        """Milliseconds."""
        return self.fixed_ms + self.ms_per_byte * nbytes

    @classmethod
    def through(cls, measured: tuple[float, float]) -> Self:
        """The line through what the two sizes took; noise must not make bytes cost less than nothing."""
        per_byte = max(0.0, (measured[1] - measured[0]) / (_BYTES[1] - _BYTES[0]))
        return cls(max(0.0, measured[0] - per_byte * _BYTES[0]), per_byte)


@dataclass(frozen=True, slots=True)
class LinkCosts:
    """Of a gather, of a sum, and of one message from a rank to the next."""

    gather: Cost
    sum: Cost
    message: Cost

    def of(self, kind: Kind) -> Cost:
        """Of one kind."""
        return self.gather if kind == "gather" else self.sum if kind == "sum" else self.message


@dataclass(frozen=True, slots=True)
class Wire:
    """What the wire takes of a pass over so many rows, in milliseconds: a straight line, as bytes grow by rows.
    `collectives` is how many a pass makes, one after the other."""

    NAME: ClassVar = "_lookahead_wire"

    collectives: int
    fixed_ms: float
    ms_per_row: float

    def ms(self, rows: int) -> float:
        """Of one pass."""
        return self.fixed_ms + self.ms_per_row * rows


def measure_links(links: Links, went: Callable[[], object] = lambda: None) -> LinkCosts:
    """Measure together with all other ranks, each of which calls this at the same time. Some tens of collectives: a
    moment, and seconds over a slow wire; `went` is called after each few. Raises what MLX raises where a rank is gone.
    """

    def measured(collective: Callable[[mx.array], mx.array], messages: int = 1) -> Cost:
        small, large = (_milliseconds(collective, nbytes, went) / messages for nbytes in _BYTES)
        return Cost.through((small, large))

    return LinkCosts(
        gather=measured(lambda x: links.gathered(x).sum(axis=0)),
        sum=measured(links.summed),
        message=measured(lambda x: _there_and_back(links, x), messages=2),
    )


def keep_wire(model: Any, costs: LinkCosts) -> Wire:
    """Keep on rank 0's share of a model what its passes take of the wire, by the collectives that they make. Of a
    pipeline it sees its own two ends alone."""
    share = share_of(model)
    ranks = share.links.size() if share is not None and share.relay is not None else None
    count, fixed_ms, ms_per_row = 0, 0.0, 0.0
    for made in wire_of(model).made:
        times, cost = 1 if ranks is None else hops_of(made, ranks), costs.of(made.kind)
        count += times
        fixed_ms += times * cost.fixed_ms
        ms_per_row += times * cost.ms_per_byte * made.nbytes
    wire = Wire(count, fixed_ms, ms_per_row)
    vars(model)[Wire.NAME] = wire
    return wire


def kept_wire(model: Any) -> Wire | None:
    """What was kept; None of a model that is whole, or whose wire was not measured."""
    found: Wire | None = vars(model).get(Wire.NAME)
    return found


def _milliseconds(collective: Callable[[mx.array], mx.array], nbytes: int, went: Callable[[], object]) -> float:
    """The quickest of a few chains: in a pass, too, each waits for the one before. What takes longer waited for a
    processor, which is no part of the wire."""
    start = mx.zeros((nbytes // 4,), dtype=mx.float32)
    taken = []
    for _ in range(_REPEATS + 1):
        began, x = time.perf_counter(), start
        for _ in range(_CHAINED):
            x = collective(x)
        mx.eval(x)
        taken.append((time.perf_counter() - began) * 1e3 / _CHAINED)
        went()
    return min(taken[1:])


def _there_and_back(links: Links, x: mx.array) -> mx.array:
    """From rank 0 to rank 1, and back; the others only wait for what comes next. Each part is waited for: in a graph,
    nothing says that what is received comes before or after what is sent."""
    if links.rank() > 1:
        return x
    other, shape = 1 - links.rank(), tuple(x.shape)
    if links.rank() == 0:
        mx.eval(links.sent(x, other))
    came = links.received(shape, x.dtype, other)
    mx.eval(came)
    if links.rank() == 1:
        mx.eval(links.sent(came, other))
    return came
