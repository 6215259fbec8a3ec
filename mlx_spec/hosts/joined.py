"""A rank on a machine that was joined by a code: started, and ended, by the program that offers it there."""

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from mlx_spec.errors import LookaheadError
from mlx_spec.hosts.finding.acquaintances import Acquaintance, Acquaintances
from mlx_spec.hosts.finding.following import JoinedFollower
from mlx_spec.hosts.finding.joining import reach as reach_joined
from mlx_spec.hosts.hostfile import Host
from mlx_spec.hosts.starting import Relay, reach


def joined(host: Host) -> Acquaintance | None:
    """The machine that goes by this name among those that were joined; None where ssh goes to it."""
    return None if host.is_loopback else Acquaintances().named(host.name)


def reach_host(host: Host) -> str | None:
    """Why a machine cannot be reached, by the way on which a rank would be started there; None where it can."""
    known = joined(host)
    if known is None:
        return reach(host.name)
    try:
        reach_joined(known).close()
    except LookaheadError as error:
        return str(error).rstrip(".")
    return None


class JoinedRank:
    """As `RankProcess`, of a machine that was joined. Raises LookaheadError where it starts none."""

    def __init__(
        self,
        known: Acquaintance,
        config: Mapping[str, Any],
        *,
        relay: Relay | None,
        ended: Callable[[int], object],
    ) -> None:
        self._follower = JoinedFollower(reach_joined(known), (), text=json.dumps(config) + "\n")
        self._relay, self._ended = relay, ended
        self.last_words = ""
        """The last line that it wrote; empty where it wrote none."""
        threading.Thread(target=self._listen, name="joined rank", daemon=True).start()

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._follower.poll() is not None

    def ask(self) -> None:
        """Ask it to end."""
        self._follower.stop()

    def loose(self) -> None:
        """Hang up, which ends it, whatever it does."""
        self._follower.close()

    def wait(self, limit_s: float) -> bool:
        """Wait for its end; False where that takes longer."""
        return self._follower.wait(limit_s) is not None

    def end(self, limit_s: float) -> None:
        """Have it gone."""
        self.loose()
        self.wait(limit_s)

    def _listen(self) -> None:
        for line in self._follower.lines():
            if line.strip():
                self.last_words = line.strip()
                if self._relay is not None:
                    self._relay(self.last_words)
        code = self._follower.wait()
        self._ended(-1 if code is None else code)
