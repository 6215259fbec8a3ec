"""Loading a pair whose target is split over a group: the others are told how, and each loads its part. On rank 0."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from mlx_spec.config import Keeping, SpeculativeConfig
from mlx_spec.decoding.cache.blocks.keeping import prefixes_of
from mlx_spec.decoding.following import lead
from mlx_spec.hosts.leading import Leading
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.loading import load_folders
from mlx_spec.models.named import find_folders, folder_of
from mlx_spec.models.room import room_of
from mlx_spec.models.splitting.content import content_hash
from mlx_spec.models.splitting.loading import load_shard
from mlx_spec.models.splitting.share import share_of
from mlx_spec.models.splitting.split import Split
from mlx_spec.models.splitting.timing import keep_wire, measure_links
from mlx_spec.models.splitting.ways import ways_of
from mlx_spec.server.engine.job import DrafterChoice
from mlx_spec.server.engine.served import Progress
from mlx_spec.server.group.arithmetic import check_arithmetic, machines_of
from mlx_spec.server.group.choice import check_room, chosen, own_room, rooms_of, shares_of
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
    leading = leadership.leading
    check_arithmetic(leading.channel, leading.assignment.hosts)
    config = config or SpeculativeConfig()
    folders = find_folders(target, draft, progress)
    room = room_of(folders.target, folders.draft, folders.heads, kv_bits=config.kv_bits)
    ranks = leading.state().ranks  # all have said what they have free
    rooms = rooms_of(ranks, room, folders.target)
    ways = ways_of(folders.target, len(ranks), rooms)
    split = chosen(ways, leadership.split, config.exactness, rooms)
    shares = shares_of(ways, split)
    leading.split(split.way, split.exactness, shares)
    room = None if room is None else own_room(room, folders.target, shares[0])
    if not anyway:
        check_room(ranks, folders, room, shares)
    group = gathered(leading, split)
    pair = load_folders(folders, room, progress, load_target=partial(_part, split, group))
    leading.note(0, held_bytes=int(mx.get_active_memory()))
    for rank, words in leading.channel.said("loaded").items():
        leading.note(rank, held_bytes=words["held_bytes"])
    share = share_of(pair.target)
    assert share is not None, "it was loaded as a share"
    share.machines = machines_of(leading.channel)
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
    decoder.calibrate(progress)  # no ceiling: one machine's memory says nothing of a target that several hold
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
