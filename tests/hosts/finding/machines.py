"""Two machines on loopback, each with a folder of its own: one offers itself, the other asks."""

import threading
from pathlib import Path

from nacl.public import PrivateKey

from mlx_spec.hosts.finding.acquaintances import Acquaintance, Acquaintances
from mlx_spec.hosts.finding.identity import Identity
from mlx_spec.hosts.finding.joining import Place, join
from mlx_spec.hosts.finding.offering import Decision, Offer

HERE = "127.0.0.1"


class Machine:
    """Its name, key, and whom it knows."""

    def __init__(self, name: str, folder: Path) -> None:
        folder.mkdir()
        self.identity = Identity(name, PrivateKey.generate())
        self.known = Acquaintances(folder / "known.json")


class Person:
    """In front of the machine that offers itself; answers as told, and keeps what the screen showed."""

    def __init__(self, says: Decision = "yes") -> None:
        self.says = says
        self.codes: list[str] = []
        self.lines: list[tuple[str, str]] = []
        self.told = threading.Event()

    def compare(self, name: str, code: str, address: str, withdrawn: threading.Event) -> Decision:
        self.codes.append(code)
        return self.says

    def tell(self, kind: str, name: str, sentence: str) -> None:
        self.lines.append((kind, sentence))
        self.told.set()

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.lines]


def offer(machine: Machine, person: Person) -> Offer:
    return Offer(person, address=HERE, port=0, identity=machine.identity, known=machine.known)


def joined(leader: Machine, follower: Machine, port: int) -> list[str]:
    """Have the leader join; the codes that it showed."""
    codes: list[str] = []

    def same(name: str, code: str) -> bool:
        codes.append(code)
        return True

    join(Place(follower.identity.name, HERE, port), same, identity=leader.identity, known=leader.known)
    return codes


def known_to(leader: Machine, follower: Machine) -> Acquaintance:
    found = leader.known.of(follower.identity.key, "follower")
    assert found is not None
    return found
