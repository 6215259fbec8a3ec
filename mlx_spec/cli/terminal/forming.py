"""How a group of machines comes together, and falls apart, line by line on stderr."""

import sys
from collections.abc import Callable
from typing import Final

from mlx_spec.hosts.group import GroupState, RankState

_TOLD: Final = {"loading": "loads its part", "ready": "is ready"}


class FormingLines:
    """Writes a line for each thing that changes: the group's sentence, and the stage of a machine."""

    def __init__(self, write: Callable[[str], object] = sys.stderr.write) -> None:
        self._write = write
        self._message = ""
        self._stages: dict[int, str] = {}

    def tell(self, state: GroupState) -> None:
        """Show what is new in a state."""
        if state.message != self._message:
            self._message = state.message
            self._line(state.message)
        for one in state.ranks:
            before, self._stages[one.rank] = self._stages.get(one.rank), one.stage
            if one.stage in _TOLD and one.stage != before and state.stage == "forming":
                self._line(f"{_name(one)} {_TOLD[one.stage]}.")

    def _line(self, text: str) -> None:
        self._write(f"mlx-spec: {text}\n")
        sys.stderr.flush()


def _name(one: RankState) -> str:
    share = f", {one.share.part:.0%} of the weights" if one.share is not None else ""
    return f"{one.host} (rank {one.rank}{share})"
