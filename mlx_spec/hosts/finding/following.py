"""A follower on a machine that was joined, as the leader's side has it: as a process here would be."""

import contextlib
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mlx_spec.errors import LookaheadError
from mlx_spec.hosts.finding.sealed import ChannelError, SecureChannel
from mlx_spec.hosts.finding.working import FOLLOWER_COMMAND

_START_S: Final = 15.0


class JoinedFollower:
    """Started when it is made, by the machine at the other end of `channel` (`joining.call`). Raises LookaheadError
    where that does not start it. Its end of the connection is the follower's end."""

    def __init__(
        self, channel: SecureChannel, options: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> None:
        self._channel = channel
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.returncode: int | None = None
        self._over = threading.Event()
        asked = {"ask": "follow", "arguments": [*FOLLOWER_COMMAND, *options], "environment": dict(environment or {})}
        channel.tell(asked)
        started = channel.hear(_START_S)
        if "started" not in started:
            channel.close()
            raise LookaheadError(
                f"{channel.session.name} starts no follower: {started.get('problem', 'it says not why')}."
            )
        threading.Thread(target=self._listen, name="joined", daemon=True).start()

    def lines(self) -> Iterator[str]:
        """What it says, until it ends."""
        while (line := self._lines.get()) is not None:
            yield line

    def write(self, text: str) -> None:
        """Give it more input. Raises ChannelError."""
        self._channel.tell({"input": text})

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Its exit code once it is over, −1 where its machine is gone; None where the time is over first."""
        self._over.wait(timeout_s)
        return self.returncode

    def stop(self) -> None:
        """End it: by the end of its input, and by force where that does not help. Returns at once."""
        with contextlib.suppress(ChannelError):
            self._channel.tell({"stop": True})

    def close(self) -> None:
        """Hang up, which ends it too."""
        self._channel.close()

    def _listen(self) -> None:
        code = -1
        with contextlib.suppress(ChannelError):
            while "ended" not in (said := self._channel.hear()):
                self._hear(said)
            code = int(said["ended"])
        self.returncode = code
        self._lines.put(None)
        self._over.set()
        self._channel.close()

    def _hear(self, said: dict[str, Any]) -> None:
        if isinstance(line := said.get("line"), str):
            self._lines.put(line)
