"""How a target is split over the machines that have come: which way, what each rank holds, and whether it has room."""

from collections.abc import Sequence
from dataclasses import replace

from mlx_spec.errors import DoesNotFitError, UnsupportedModelError
from mlx_spec.hosts.group import RankState, Share
from mlx_spec.hosts.neighbours import neighbours
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.named import PairFolders
from mlx_spec.models.room import PairRoom
from mlx_spec.models.splitting.split import Exactness, Split
from mlx_spec.models.splitting.ways import FoundWay, SplitWays
from mlx_spec.models.staging import human_bytes
from mlx_spec.server.group.leadership import SplitChoice


def rooms_of(ranks: Sequence[RankState], room: PairRoom | None, target: ModelFolder) -> list[float] | None:
    """How many bytes of the target's weights each rank has room for, keys and values beside them; None where a rank has
    not told what it has free. `room` is what the whole pair needs, and rank 0 has: the draft stays with that."""
    on = neighbours([one.host for one in ranks])
    own, cached = ranks[0].free_bytes, 1.0
    if room is not None:
        own = room.available_bytes - (room.weights_bytes - target.weights_bytes) - room.working_bytes
        cached += room.cache_bytes / max(1, target.weights_bytes)
    rooms = []
    for one in ranks:
        free = own if one.rank in on[0] else one.free_bytes
        if free is None:
            return None
        rooms.append(max(1.0, free / len(on[one.rank]) / cached))
    return rooms


def chosen(ways: SplitWays, choice: SplitChoice, exactness: str, rooms: Sequence[float] | None = None) -> Split:
    """How a target is split, of the ways there are: as it was asked for. Else, unless sums may be fast, one that has
    one machine's words before one that has not, so that these do not depend on what is free; of such one that fits into
    `rooms`; of such parts of every layer, as all machines compute at the same time then. Raises UnsupportedModelError
    where it cannot be."""
    exact: Exactness = "fast" if exactness == "fast" else "strict"
    if choice != "auto":
        return ways.split(choice, exact)
    tensor, pipeline = ways.of("tensor", exact), ways.pipeline
    there = [way for way in (tensor, pipeline) if way.is_there]
    if not there:
        raise UnsupportedModelError(f"{tensor.why_not} {pipeline.why_not}")
    best = min(there, key=lambda way: (exact == "strict" and way.same_as != "one machine", not _fits(way, rooms)))
    return ways.split(best.way, exact)


def _fits(way: FoundWay, rooms: Sequence[float] | None) -> bool:
    return rooms is None or all(held <= room for held, room in zip(way.nbytes, rooms, strict=True))


def shares_of(ways: SplitWays, split: Split) -> list[Share]:
    """What each rank holds; rank 0 has the last layers of a pipeline."""
    found = ways.of(split.way, split.exactness)
    parts = [nbytes / max(1, ways.nbytes) for nbytes in found.nbytes]
    if split.layers is None:
        return [Share(part) for part in parts]
    end, shares = sum(split.layers), []
    for part, count in zip(parts, split.layers, strict=True):
        shares.append(Share(part, (end - count, end)))
        end -= count
    return shares


def own_room(room: PairRoom, target: ModelFolder, share: Share) -> PairRoom:
    """What rank 0 needs: its share of the target, and all of the draft."""
    left = 1 - share.part
    return replace(
        room,
        weights_bytes=room.weights_bytes - int(left * target.weights_bytes),
        cache_bytes=int(share.part * room.cache_bytes),
    )


def check_room(
    ranks: Sequence[RankState], folders: PairFolders, room: PairRoom | None, shares: Sequence[Share]
) -> None:
    """Raise DoesNotFitError, with the machine's name, where a rank has no room for what it is to hold. Ranks of one
    machine have its memory between them."""
    on = neighbours([one.host for one in ranks])
    needed = [int(share.part * folders.target.weights_bytes) for share in shares]
    if room is not None:
        beside = sum(needed[rank] for rank in on[0] if rank)
        replace(room, available_bytes=room.available_bytes - beside).check(
            f"{folders.name}, of whose target {shares[0].part:.0%} and all of the draft are held here,"
        )
    for one in ranks[1:]:
        free = None if one.free_bytes is None else one.free_bytes // len(on[one.rank])
        if free is not None and needed[one.rank] > free:
            raise DoesNotFitError(
                f"{one.host} (rank {one.rank}) has {human_bytes(free)} of memory left, and its part of"
                f" {folders.target.name} needs {human_bytes(needed[one.rank])}: add a machine, take a smaller model or"
                " fewer bits, or load it --anyway.",
                needed_bytes=needed[one.rank],
                available_bytes=free,
            )
