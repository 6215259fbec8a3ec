"""The page of several Macs: nobody there, a code to compare, a group that answers, and one that has lost a machine."""

from PySide6.QtCore import QObject

from app.engine.pages.group.client import GroupClient
from app.engine.pages.group.records import parse_group
from app.engine.pages.group.talking import TalkingCommand
from app.look.typography import scaled
from app.machines import MachinesViewModel
from app.machines.views import MachinesDialog
from app.scenes.stage import Scene, Stage

GB = 10**9
FOUND = [
    {"name": "studio", "fingerprint": "b1f0c3a92d4e5f60", "chip": "Apple M4 Max", "total_bytes": 64 * GB},
    {"name": "kitchen-mac-mini-of-everybody-who-lives-here", "fingerprint": "0a1b2c3d4e5f6071", "chip": "Apple M4",
     "total_bytes": 16 * GB},
]  # fmt: skip
KNOWN = [{"name": "studio", "fingerprint": "b1f0c3a92d4e5f60", "role": "follower"}]
CHECKED = '{"problems": [], "slowest": {"round_trip_ms": 2.1, "bytes_per_s": 1.1e8}}'
SMALL = (360, 420)


class _Quiet(TalkingCommand):
    """Starts nothing: the scene tells what there is."""

    def start(self, *arguments: str, command: object = None) -> None:
        """Nothing."""


class _Kept:
    group_hosts: tuple[str, ...] = ()
    is_offered = False


def rank(host: str, stage: str, **told: object) -> dict[str, object]:
    """A machine of a group as the engine tells it."""
    return {
        "host": host,
        "stage": stage,
        "since_s": 1_790_000_000.0,
        "memory_bytes": 32 * GB,
        "free_bytes": 14 * GB,
    } | told


def _share(part: float, first: int, behind: int) -> dict[str, object]:
    return {"share": {"part": part, "layers": [first, behind]}, "held_bytes": int(part * 41 * GB)}


def _draw_machines(stage: Stage) -> None:
    def quiet(parent: QObject) -> TalkingCommand:
        return _Quiet(parent)

    kept, client = _Kept(), GroupClient(stage.window)
    machines = MachinesViewModel(kept, client, stage.window, talking=quiet)
    dialog = MachinesDialog(machines, stage.window.theme.palette, stage.window)
    stage.window.theme.changed.connect(dialog.apply_palette)
    dialog.show()
    machines._on_neighbours({"name": "laptop", "found": [], "known": []})
    stage.save("machines-empty-light", dialog)
    machines._on_neighbours({"name": "laptop", "found": FOUND, "known": KNOWN})
    machines._on_joining({"event": "code", "name": FOUND[1]["name"], "code": "421803"})
    stage.choose_appearance("dark")
    stage.save("machines-code-dark", dialog)
    machines.confirm(True)
    kept.group_hosts, kept.is_offered = ("studio", "10.0.0.7"), True
    machines.note = "Others find it as laptop."
    there = [rank("laptop", "ready", **_share(0.22, 50, 64))]
    there.append(rank("studio", "ready", latency_ms=0.4, **_share(0.56, 14, 50)))
    third = rank("10.0.0.7", "ready", latency_ms=2.1, **_share(0.22, 0, 14))
    whole = {"stage": "ready", "message": "", "way": "pipeline", "ranks": [*there, third]}
    client.told.emit(parse_group(whole))
    machines._on_checked(True, CHECKED, "")
    stage.save("machines-group-dark", dialog)
    stage.choose_appearance("light")
    stage.save("machines-group-light", dialog)
    lost = {"stage": "lost", "message": "", "ranks": [*there, rank("10.0.0.7", "lost", error="gone")]}
    client.told.emit(parse_group(lost))
    machines._tell("10.0.0.7 (rank 2) said nothing for 5 s.")
    stage.choose_appearance("dark")
    dialog.resize(scaled(SMALL[0]), scaled(SMALL[1]))
    machines._on_offering({"event": "asked", "name": FOUND[1]["name"], "code": "421803"})
    stage.save("machines-small-dark", dialog)
    stage.choose_appearance("light")
    dialog.close()
    dialog.deleteLater()
    machines.deleteLater()


SCENES = (Scene("machines", _draw_machines),)
