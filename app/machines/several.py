"""The machines on this network, those that the engine is to be split over, and this one's offer to others."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from PySide6.QtCore import QObject, QTimer, Signal

from app.engine.command import CommandProcess, mlx_spec_command
from app.engine.pages.group.client import GroupClient
from app.engine.pages.group.records import Group, Neighbours, parse_neighbours
from app.engine.pages.group.talking import TalkingCommand
from app.engine.protocol import ProtocolError
from app.machines.lines import Line, lines_of

AGAIN_MS = 5_000
"""A network that could not be asked is asked again, and an offer that ended by itself is made again."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A code to compare with the one that the machine `name` shows. `is_theirs`: it asks to use this one."""

    name: str
    code: str
    is_theirs: bool


class Kept(Protocol):
    """What the window remembers of it."""

    group_hosts: tuple[str, ...]
    is_offered: bool


def check_command(names: Sequence[str]) -> list[str]:
    """What looks at the machines of these names, this one first."""
    return mlx_spec_command("hosts", "check", "--hosts", ",".join(names), "--json")


class MachinesViewModel(QObject):
    """Looks at the network only while it is watched; offers this machine whenever that was switched on.

    Signals:
        changed: another machine, state, code or sentence.
        asked: a code is to be compared, of which somebody has to hear wherever he is.
        used: in a sentence, that another machine begins to use this one, likewise.
    """

    changed = Signal()
    asked = Signal()
    used = Signal(str)

    def __init__(
        self,
        kept: Kept,
        client: GroupClient,
        parent: QObject | None = None,
        *,
        talking: Callable[[QObject], TalkingCommand] = TalkingCommand,
    ) -> None:
        super().__init__(parent)
        self._kept, self._client = kept, client
        self.neighbours = Neighbours()
        self.group: Group | None = None
        self.code: Asked | None = None
        self.problem = ""
        self.note = ""
        """What happened last with the offer of this machine."""
        self.is_joining = False
        self._is_watched = False
        self.is_checking = False
        self.checked = ""
        """What the last look at the machines of the group has found, where nothing was in the way."""
        self._checking = CommandProcess(self)
        self._checking.ended.connect(self._on_checked)
        self._checking.unstarted.connect(lambda why: self._on_checked(False, "", why))
        self._finding, self._joining, self._offering = talking(self), talking(self), talking(self)
        self._again = QTimer(self, singleShot=True, interval=AGAIN_MS)
        self._again.timeout.connect(self._find)
        self._offer_again = QTimer(self, singleShot=True, interval=AGAIN_MS)
        self._offer_again.timeout.connect(self._start_offering)
        client.told.connect(self._on_group)
        self._finding.said.connect(self._on_neighbours)
        self._finding.ended.connect(self._on_finding_ended)
        self._joining.said.connect(self._on_joining)
        self._joining.ended.connect(self._on_joining_ended)
        self._offering.said.connect(self._on_offering)
        self._offering.ended.connect(self._on_offering_ended)

    @property
    def chosen(self) -> tuple[str, ...]:
        """The names of those that the engine is to be split over, this one not among them."""
        return self._kept.group_hosts

    @property
    def is_offered(self) -> bool:
        """Whether another machine may ask to use this one."""
        return self._kept.is_offered

    @property
    def lines(self) -> tuple[Line, ...]:
        """All machines, to be shown."""
        return lines_of(self.neighbours, self.chosen, self.group)

    def watch(self, is_watched: bool) -> None:
        """Somebody looks, or nobody does any more."""
        self._is_watched = is_watched
        self._client.watch(is_watched)
        if is_watched and not self._finding.is_running:
            self._find()
        elif not is_watched:
            self._again.stop()
            self._finding.stop()

    def begin(self) -> None:
        """Offer this machine where that was switched on before."""
        if self.is_offered:
            self.offer(True)

    def add(self, name: str) -> None:
        """Have a machine in the group that was joined, or that ssh knows by this name."""
        name = name.strip()
        if not name:
            return
        if any(letter.isspace() or letter == "," for letter in name) or name.startswith("-"):
            self._tell(self.tr("“{0}” is no name of a machine.").format(name))
        elif name.casefold() in (one.casefold() for one in (*self.chosen, self.neighbours.name)):
            self._tell(self.tr("{0} is in the group already.").format(name))
        else:
            self._choose((*self.chosen, name))

    def remove(self, name: str) -> None:
        """Have it in the group no longer; it stays joined."""
        self._choose(tuple(one for one in self.chosen if one != name))

    def join(self, name: str) -> None:
        """Ask a machine that offers itself."""
        if not self._joining.is_running:
            self.is_joining, self.problem = True, ""
            self._joining.start("hosts", "join", name, "--json")
            self.changed.emit()

    def confirm(self, is_same: bool, *, never: bool = False) -> None:
        """Somebody has compared the code; `never`: the machine that asks shall not ask again."""
        code, self.code = self.code, None
        if code is not None:
            said = {"confirmed": is_same} | ({"never": True} if never else {})
            (self._offering if code.is_theirs else self._joining).write(said)
            self.changed.emit()

    def check(self) -> None:
        """Look at the machines of the group: who answers, with what, and how quick the ways are."""
        if not self.is_checking and self.chosen:
            self.is_checking, self.checked = True, ""
            self._checking.start(check_command((self.neighbours.name, *self.chosen)))
            self._tell("")

    def offer(self, is_offered: bool) -> None:
        """Let others ask for this machine, or nobody any more; what works for one then ends."""
        self._kept.is_offered = is_offered
        self.note = ""
        self._offer_again.stop()
        if is_offered:
            self._start_offering()
        else:
            self._offering.stop()
            if self.code is not None and self.code.is_theirs:
                self.code = None
        self.changed.emit()

    def forget_group(self) -> None:
        """Another engine answers from now on, or none."""
        self._on_group(None)

    def stop(self) -> None:
        """The program ends."""
        self._offer_again.stop()
        for command in (self._finding, self._joining, self._offering):
            command.stop()
        self._checking.stop()

    def _choose(self, names: Sequence[str]) -> None:
        self._kept.group_hosts = tuple(names)
        self.checked = ""
        self._tell("")

    def _tell(self, problem: str) -> None:
        self.problem = problem
        self.changed.emit()

    def _find(self) -> None:
        if self._is_watched:
            self._finding.start("hosts", "list", "--watch", "--seconds", "1", "--json")

    def _on_neighbours(self, value: dict[str, Any]) -> None:
        try:
            self.neighbours = parse_neighbours(value)
        except ProtocolError:
            return
        self.changed.emit()

    def _on_finding_ended(self, succeeded: bool, why: str) -> None:
        if why:
            self._tell(why)
        self._again.start()

    def _on_joining(self, value: dict[str, Any]) -> None:
        if value.get("event") == "code":
            self._ask(Asked(str(value.get("name", "")), str(value.get("code", "")), False))
        elif value.get("event") == "joined":
            self._choose((*(one for one in self.chosen if one != value["name"]), str(value["name"])))

    def _on_joining_ended(self, succeeded: bool, why: str) -> None:
        self.is_joining = False
        if self.code is not None and not self.code.is_theirs:
            self.code = None
        self._tell("" if succeeded else why or self.tr("The machine was not joined."))
        # What is known now is told anew at once.
        if self._is_watched:
            self._find()

    def _on_offering(self, value: dict[str, Any]) -> None:
        if value.get("event") == "asked":
            self._ask(Asked(str(value.get("name", "")), str(value.get("code", "")), True))
            return
        if self.code is not None and self.code.is_theirs:  # withdrawn, refused or joined
            self.code = None
        self.note = str(value.get("unannounced") or value.get("message") or "")
        if value.get("event") == "working":
            self.used.emit(self.tr("{0} uses this Mac now.").format(value.get("name", "")))
        if value.get("event") == "offering" and not value.get("unannounced"):
            self.note = self.tr("Others find it as {0}.").format(value.get("name", ""))
        self.changed.emit()

    def _start_offering(self) -> None:
        self._offering.start("hosts", "offer", "--json")

    def _on_offering_ended(self, succeeded: bool, why: str) -> None:
        # What is wished for stays so: a port that another program has is free again some day.
        if self.code is not None and self.code.is_theirs:
            self.code = None
        self.note = why
        self._offer_again.start()
        self.changed.emit()

    def _on_checked(self, succeeded: bool, said: str, why: str) -> None:
        self.is_checking = False
        try:
            told = json.loads(said)
            problems, slowest = [str(one) for one in told["problems"]], told["slowest"]
        except (KeyError, TypeError, ValueError):
            self._tell(why or self.tr("The machines could not be looked at."))
            return
        if not problems and slowest:
            self.checked = self.tr(
                "All answer, with the same versions. The slowest way: {0:.1f} ms, {1:,.0f} MB/s."
            ).format(slowest["round_trip_ms"], slowest["bytes_per_s"] / 1e6)
        self._tell("\n".join(problems))

    def _ask(self, asked: Asked) -> None:
        self.code = asked
        self.changed.emit()
        self.asked.emit()

    def _on_group(self, group: Group | None) -> None:
        if group != self.group:
            self.group = group
            self.changed.emit()
