"""How a group of machines comes together, and falls apart, line by line on stderr."""

import sys
from collections.abc import Callable
from typing import Final

from mlx_spec.hosts.group import GroupState, RankState

_TOLD: Final = {"loading": "loads its part", "ready": "is ready"}


class FormingLines:
    """Writes a line for each thing that changes: the group's sentence, and the stage of a machine. A reason is told
    once: what ends the command before the group was ever whole, the command's own error tells."""

    def __init__(self, write: Callable[[str], object] = sys.stderr.write) -> None:
        self._write = write
        self._message = self._told = ""
        self._stages: dict[int, str] = {}

    def tell(self, state: GroupState) -> None:
        """Show what is new in a state."""
        if state.message != self._message:
            self._message = state.message
            self._tell(state)
        for one in state.ranks:
            before, self._stages[one.rank] = self._stages.get(one.rank), one.stage
            if one.stage in _TOLD and one.stage != before and state.stage == "forming":
                self._line(f"{_name(one)} {_TOLD[one.stage]}.")

    def _tell(self, state: GroupState) -> None:
        if state.stage == "forming" and state.error is not None:
            if state.error not in self._told:
                self._line(state.error)
            self._line("The group is forming again.")
        elif state.times_formed or state.stage not in ("lost", "waiting"):
            self._line(state.message)

    def _line(self, text: str) -> None:
        self._told = text
        self._write(f"mlx-spec: {text}\n")
        sys.stderr.flush()


def _name(one: RankState) -> str:
    share = f", {one.share.part:.0%} of the weights" if one.share is not None else ""
    return f"{one.host} (rank {one.rank}{share})"
