"""Loading a pair whose target is split over a group: the others are told how, and each loads its part. On rank 0."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from mlx_spec.config import Keeping, SpeculativeConfig
from mlx_spec.decoding.cache.blocks.keeping import prefixes_of
from mlx_spec.decoding.following import lead
from mlx_spec.errors import DoesNotFitError, UnsupportedModelError
from mlx_spec.hosts.group import Share
from mlx_spec.hosts.leading import Leading
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.loading import load_folders
from mlx_spec.models.named import PairFolders, find_folders, folder_of
from mlx_spec.models.room import PairRoom, room_of
from mlx_spec.models.splitting.content import content_hash
from mlx_spec.models.splitting.loading import load_shard
from mlx_spec.models.splitting.share import share_of
from mlx_spec.models.splitting.split import Exactness, Split
from mlx_spec.models.splitting.timing import keep_wire, measure_links
from mlx_spec.models.splitting.ways import SplitWays, ways_of
from mlx_spec.models.staging import human_bytes
from mlx_spec.server.engine.job import DrafterChoice
from mlx_spec.server.engine.served import Progress
from mlx_spec.server.group.leadership import Leadership, SplitChoice
from mlx_spec.server.group.led import LedDecoder, watched
from mlx_spec.server.group.room import bounded


def found(target: str, ranks: int, choice: SplitChoice, exactness: str) -> tuple[str, str]:
    """What the target is by its contents, and its name. Raises ModelError for one that cannot be split as it is asked
    for: before anybody is waited for."""
    folder = folder_of(target)
    folder.check()
    chosen(ways_of(folder, ranks), choice, exactness)
    return content_hash(folder), folder.name


def load_led(
    leadership: Leadership,
    target: str,
    draft: str | None,
    config: SpeculativeConfig | None,
    drafter: DrafterChoice,
    keeping: Keeping,
    anyway: bool,
    progress: Progress,
) -> tuple[Any, LedDecoder]:
    """As `serve`'s own loading, with the target split. Raises as `load_pair`, RankLostError, and ServerError for a rank
    that cannot load its part."""
    leading, ranks = leadership.leading, len(leadership.leading.assignment.hosts)
    config = config or SpeculativeConfig()
    folders = find_folders(target, draft, progress)
    ways = ways_of(folders.target, ranks)
    split = chosen(ways, leadership.split, config.exactness)
    shares = shares_of(ways, split)
    leading.split(split.way, split.exactness, shares)
    room = room_of(folders.target, folders.draft, folders.heads, kv_bits=config.kv_bits)
    room = None if room is None else own_room(room, folders.target, shares[0])
    if not anyway:
        check_room(leading, folders, room, shares)
    group = gathered(leading, split)
    pair = load_folders(folders, room, progress, load_target=partial(_part, split, group))
    leading.note(0, held_bytes=int(mx.get_active_memory()))
    for rank, words in leading.channel.said("loaded").items():
        leading.note(rank, held_bytes=words["held_bytes"])
    share = share_of(pair.target)
    assert share is not None, "it was loaded as a share"
    with watched(leading, "measuring the wire"):
        keep_wire(pair.target, measure_links(share.links, leading.watchdog.beat))

    def tell(step: Mapping[str, Any]) -> None:
        # A pass over a prompt takes longer than one over a word.
        leading.watchdog.beat(sum(len(one.get("ids", ())) for one in step["do"]))
        leading.channel.tell(step)

    teller = lead(pair.target, tell, lambda why: leading.channel.lose(0, f"has failed in a pass ({why})"))
    # What other processes of this machine have read of a text is no other machine's.
    keeping = bounded(replace(keeping, disk_bytes=0), leading.state().ranks)
    prefixes = prefixes_of(pair, keeping, config.kv_bits)
    decoder = LedDecoder(leading, teller, pair, config, drafter=drafter, prefixes=prefixes)
    decoder.calibrate(progress)
    decoder.measure_ceiling(progress)
    return pair, decoder


def gathered(leading: Leading, split: Split) -> mx.distributed.Group:
    """The group of all ranks, each of which is told how the target is split. Raises RankLostError, ServerError."""
    leading.channel.tell(
        {"split": {"way": split.way, "ranks": split.ranks, "exactness": split.exactness, "layers": split.layers}}
    )
    # Not watched: it holds the interpreter while it waits, so that the watchdog could not look.
    with tempfile.TemporaryDirectory() as place, leading.meeting() as meeting:
        meeting.enter(0, Path(place))
        return mx.distributed.init(strict=True, backend=meeting.name)


def _part(split: Split, group: mx.distributed.Group, folder: ModelFolder, told: Callable[[int], None]) -> nn.Module:
    return load_shard(folder, split, group, told)


def chosen(ways: SplitWays, choice: SplitChoice, exactness: str) -> Split:
    """How a target is split, of the ways there are: as it was asked for, else parts of every layer before whole layers,
    as all machines compute at the same time then. Raises UnsupportedModelError where it cannot be."""
    exact: Exactness = "fast" if exactness == "fast" else "strict"
    if choice != "auto":
        return ways.split(choice, exact)
    if ways.of("tensor", exact).is_there:
        return ways.split("tensor", exact)
    if ways.pipeline.is_there:
        return ways.split("pipeline", exact)
    raise UnsupportedModelError(f"{ways.of('tensor', exact).why_not} {ways.pipeline.why_not}")


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


def check_room(leading: Leading, folders: PairFolders, room: PairRoom | None, shares: Sequence[Share]) -> None:
    """Raise DoesNotFitError, with the machine's name, where a rank has no room for what it is to hold."""
    if room is not None:
        room.check(f"{folders.name}, of whose target {shares[0].part:.0%} and all of the draft are held here,")
    whole = folders.target.weights_bytes
    for one, share in zip(leading.state().ranks[1:], shares[1:], strict=True):
        needed = int(share.part * whole)
        if one.free_bytes is not None and needed > one.free_bytes:
            raise DoesNotFitError(
                f"{one.host} (rank {one.rank}) has {human_bytes(one.free_bytes)} of memory left, and its part of"
                f" {folders.target.name} needs {human_bytes(needed)}: add a machine, take a smaller model or fewer"
                " bits, or load it --anyway.",
                needed_bytes=needed,
                available_bytes=one.free_bytes,
            )
