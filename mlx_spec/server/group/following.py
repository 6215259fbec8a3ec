"""A follower's process: it joins its group, loads its share of the target, and repeats what the leader does."""

import tempfile
from pathlib import Path
from typing import Any

from mlx_spec.errors import LookaheadError, ServerError
from mlx_spec.hosts.assignment import Assignment, assigned
from mlx_spec.hosts.channel.follower import FollowerChannel
from mlx_spec.hosts.joining import join
from mlx_spec.hosts.rendezvous import Rendezvous
from mlx_spec.server.ending import leave_now


def follow_leader() -> None:
    """Be the rank that a line of the input says, until the leader closes. Raises LookaheadError, which the leader has
    been told."""
    try:
        assignment = assigned()
    except (ValueError, KeyError, TypeError) as error:
        raise ServerError("This command is started by `mlx-spec serve --hosts`, and by nobody else.") from error
    channel = join(assignment)
    try:
        _follow(assignment, channel)
    except LookaheadError as error:
        channel.fail(str(error))
        raise
    except BaseException as error:
        channel.fail(f"{type(error).__name__}: {error}")
        raise
    finally:
        channel.close()
    # The interpreter's own end would wait for streams whose other ends are gone.
    leave_now(0)


def _follow(assignment: Assignment, channel: FollowerChannel) -> None:
    # Imported here: it takes seconds, in which the leader can see that this rank has come.
    from mlx_spec.models.named import folder_of
    from mlx_spec.models.splitting.content import content_hash

    def progress(stage: str, fraction: float) -> None:
        channel.facts["progress"] = fraction

    folder = folder_of(assignment.told["target"], progress)
    folder.check(wants_tokenizer=False)
    channel.say("model", content=content_hash(folder))
    if (step := channel.next()) is not None:
        _load_and_repeat(assignment, channel, folder, step)


def _load_and_repeat(assignment: Assignment, channel: FollowerChannel, folder: Any, step: dict[str, Any]) -> None:
    import mlx.core as mx

    from mlx_spec.decoding.following import follow
    from mlx_spec.models.splitting.links import Links
    from mlx_spec.models.splitting.loading import load_shard
    from mlx_spec.models.splitting.split import Split
    from mlx_spec.models.splitting.timing import measure_links

    with tempfile.TemporaryDirectory() as place:
        meeting = Rendezvous.from_dict(step["meeting"])
        meeting.enter(assignment.rank, Path(place))
        group = mx.distributed.init(strict=True, backend=meeting.name)
    split = step["split"]
    layers = split["layers"]
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


def _told(channel: FollowerChannel, folder: Any) -> Any:
    read = 0

    def told(more: int) -> None:
        nonlocal read
        read += more
        channel.facts["progress"] = min(1.0, read / max(1, folder.weights_bytes))

    return told
