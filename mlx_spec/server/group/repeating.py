"""What a follower does with its model: finds it, meets the others, loads its share, and repeats what the leader does.

Importing this takes seconds, in which the leader can see that its rank has come. All that is needed is imported before
the ranks meet, as nobody waits long for who is late then.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import mlx.core as mx

from mlx_spec.decoding.following import follow
from mlx_spec.errors import RankLostError
from mlx_spec.hosts.assignment import Assignment
from mlx_spec.hosts.channel.follower import FollowerChannel
from mlx_spec.hosts.joining import say_here
from mlx_spec.hosts.rendezvous import MEETING_S, Rendezvous, ended_after
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.memory import multiplies_by, serving_blas
from mlx_spec.models.named import folder_of
from mlx_spec.models.splitting.content import content_hash
from mlx_spec.models.splitting.links import Links
from mlx_spec.models.splitting.loading import load_shard
from mlx_spec.models.splitting.split import Split
from mlx_spec.models.splitting.timing import measure_links

_LONGER_S: Final = 15.0
"""The leader's supervisor ends a meeting first, if it is there: it can say of what."""


def repeat(assignment: Assignment, channel: FollowerChannel) -> None:
    """Until the leader closes. Raises LookaheadError."""

    def progress(stage: str, fraction: float) -> None:
        channel.facts["progress"] = fraction

    folder = folder_of(assignment.told["target"], progress)
    folder.check(wants_tokenizer=False)
    channel.say("model", content=content_hash(folder), blas=serving_blas(), machine=multiplies_by())
    if (step := channel.next()) is None:
        return
    split, layers = step["split"], step["split"]["layers"]
    if (group := _met(assignment, channel)) is None:
        return
    target = load_shard(
        folder,
        Split(split["way"], split["ranks"], split["exactness"], None if layers is None else tuple(layers)),
        group,
        _told(channel, folder),
    )
    channel.facts.update(held_bytes=int(mx.get_active_memory()), progress=None)
    channel.say("loaded", held_bytes=int(mx.get_active_memory()))
    measure_links(Links(group))  # the leader does, at the same time
    follow(target, folder.name, channel.next)


def _met(assignment: Assignment, channel: FollowerChannel) -> mx.distributed.Group | None:
    """The group of the collectives, None where the leader has closed. Raises RankLostError."""
    say_here(assignment, channel)
    if (step := channel.next()) is None:
        return None
    with tempfile.TemporaryDirectory() as place:
        meeting = Rendezvous.from_dict(step["meeting"])
        meeting.enter(assignment.rank, Path(place))
        try:
            with channel.entering(), ended_after(MEETING_S + _LONGER_S):
                return mx.distributed.init(strict=True, backend=meeting.name)
        except (RuntimeError, OSError) as error:
            why = f"could not meet the others ({str(error).rstrip('.')})"
            raise RankLostError(
                f"{assignment.host} (rank {assignment.rank}) {why}.", assignment.rank, assignment.host
            ) from error


def _told(channel: FollowerChannel, folder: ModelFolder) -> Callable[[int], None]:
    read = 0

    def told(more: int) -> None:
        nonlocal read
        read += more
        channel.facts["progress"] = min(1.0, read / max(1, folder.weights_bytes))

    return told
