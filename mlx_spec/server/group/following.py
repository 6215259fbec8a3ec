"""A follower's process: it joins its group, and says why where it cannot go on. What it repeats, `repeating` knows."""

from mlx_spec.errors import LookaheadError, RankLostError, ServerError
from mlx_spec.hosts.assignment import assigned
from mlx_spec.hosts.joining import join
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
        from mlx_spec.server.group.repeating import repeat  # it takes seconds

        repeat(assignment, channel)
    except RankLostError as error:
        channel.fail(str(error), again=True)
        raise
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
