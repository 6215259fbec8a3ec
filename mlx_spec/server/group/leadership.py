"""What rank 0's server does that one of a single machine does not: it begins when the group has agreed, and ends, with
words for everybody, when a rank is lost."""

import logging
import socket
from collections.abc import Callable
from typing import Any, Literal

from mlx_spec.errors import LookaheadError, RankLostError
from mlx_spec.hosts.assignment import Assignment
from mlx_spec.hosts.channel.follower import LEFT_CODE
from mlx_spec.hosts.leading import Leading
from mlx_spec.server.ending import Ending, leave_now
from mlx_spec.server.engine.answering import lost_failure
from mlx_spec.server.engine.served import Decoder, Loader, Pair, Progress
from mlx_spec.server.engine.thread import EngineThread

logger = logging.getLogger(__name__)

SplitChoice = Literal["auto", "tensor", "pipeline"]


class Leadership:
    """Of rank 0, in its server's process. Made at its very start: its supervisor hears of it from then on."""

    def __init__(self, assignment: Assignment, split: SplitChoice = "auto") -> None:
        assert assignment.listener is not None, "rank 0 is handed its sockets"
        self.leading = Leading(assignment)
        self.split: SplitChoice = split
        """How the target is to be split."""
        self.listener = socket.socket(fileno=assignment.listener)

    def agree(self, find: Callable[[], tuple[str, str]]) -> None:
        """Wait until all ranks are there and have the same model: `find` gives the content and the name of this one's,
        meanwhile. Where that fails it tells the supervisor why, and ends the process."""
        try:
            content, name = find()
            self.leading.found()
            self.leading.gather()
            self.leading.agree(content, name)
        except Exception as error:
            if self._told(error) is error and not isinstance(error, LookaheadError):
                logger.exception("The leader failed.")  # a bug
            leave_now(LEFT_CODE)  # nothing runs yet; and its supervisor, which knows why, says so

    def loader(self, load: Loader) -> Loader:
        """A loader that tells the supervisor what keeps it from loading."""

        def loaded(progress: Progress) -> tuple[Pair, Decoder]:
            try:
                made = load(progress)
            except Exception as error:
                if (told := self._told(error)) is error:
                    raise
                raise told from error
            self.leading.ready()
            return made

        return loaded

    def watch(self, engine: EngineThread, ending: Ending) -> None:
        """When a rank is lost, all answers end with that, and then the process."""

        def lost(error: RankLostError) -> None:
            engine.give_up(lost_failure(error))
            ending.code = LEFT_CODE
            ending.ask()

        self.leading.channel.on_lost(lost)

    def state(self) -> dict[str, Any]:
        """What /v1/group answers."""
        return self.leading.state().to_dict()

    def _told(self, error: Exception) -> Exception:
        """What an error is to whoever hears of it, told the supervisor: nobody would follow a leader that stays away.
        What the system or a collective did may go better another time; what we did would not."""
        if isinstance(error, RuntimeError | OSError):
            lost = self.leading.explained(error)
            return lost or self.leading.channel.lose(0, f"could not go on ({str(error).rstrip('.')})")
        if not isinstance(error, RankLostError):  # which is known, and may be mended
            is_ours = isinstance(error, LookaheadError)
            self.leading.fail(str(error) if is_ours else f"The leader failed: {type(error).__name__}: {error}")
        return error

    def end(self) -> None:
        """End the followers; and this process where a rank was lost, as another attempt is to be made."""
        self.leading.close()
        if self.leading.channel.lost is not None:
            leave_now(LEFT_CODE)
