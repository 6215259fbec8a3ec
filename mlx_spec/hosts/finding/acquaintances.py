"""The machines that this one knows: their keys in the data folder, which only its owner may read."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from filelock import FileLock

from mlx_spec.errors import ConfigError, StorageError
from mlx_spec.hosts.finding.identity import fingerprint, hosts_folder
from mlx_spec.machine.private import read_private, write_private

Role = Literal["follower", "leader", "refused"]
"""What the other machine is to this one: it may be used, it may use this one, or it may not ask again."""
_ROLES: Final = ("follower", "leader", "refused")


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """Another machine by its public key. `address` and `port` are where it was met last; a leader's port is 0."""

    key: str
    name: str
    role: Role
    address: str = ""
    port: int = 0
    since_s: float = 0.0

    @property
    def fingerprint(self) -> str:
        """Its key in short."""
        return fingerprint(bytes.fromhex(self.key))


class Acquaintances:
    """Kept at once; several processes may keep at the same time. Raises StorageError where the disk does not."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or hosts_folder() / "known.json"

    def all(self) -> tuple[Acquaintance, ...]:
        """Everybody, in the order of meeting."""
        try:
            kept = json.loads(read_private(self._path))
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise self._unkept(error) from error
        except ValueError as error:
            raise StorageError(
                f"The file of known machines {self._path} is damaged: delete it, and join them again."
            ) from error
        return tuple(one for value in kept.get("machines", ()) if (one := _read(value)) is not None)

    def of(self, key: bytes, role: Role) -> Acquaintance | None:
        """The machine of that key, where it has that role."""
        return next((one for one in self.all() if one.key == key.hex() and one.role == role), None)

    def named(self, name: str, role: Role = "follower") -> Acquaintance | None:
        """The machine of that name (`.local` may be left out) or fingerprint. Raises ConfigError where several are."""
        wanted = name.casefold().removesuffix(".local")
        found = [one for one in self.all() if one.role == role and wanted in (one.name.casefold(), one.fingerprint)]
        if len(found) > 1:
            prints = " or ".join(one.fingerprint for one in found)
            raise ConfigError("host", name, f"one machine, and {len(found)} have that name (say {prints})")
        return found[0] if found else None

    def keep(self, one: Acquaintance) -> None:
        """Know a machine from now on, in the place of what was known of it in that role; refusing it ends all else."""
        with self._changing() as known:
            known[:] = [
                other
                for other in known
                if other.key != one.key or (other.role != one.role and "refused" not in (one.role, other.role))
            ]
            known.append(replace(one, since_s=one.since_s or time.time()))

    def met(self, one: Acquaintance, address: str, port: int) -> None:
        """Note where it was met; nothing where it was forgotten meanwhile."""
        with self._changing() as known:
            known[:] = [
                replace(other, address=address, port=port) if (other.key, other.role) == (one.key, one.role) else other
                for other in known
            ]

    def forget(self, name: str) -> tuple[Acquaintance, ...]:
        """Know the machines of that name or fingerprint no longer, in whatever role; which they were."""
        wanted = name.casefold().removesuffix(".local")
        with self._changing() as known:
            gone = tuple(one for one in known if wanted in (one.name.casefold(), one.fingerprint))
            known[:] = [one for one in known if one not in gone]
        return gone

    @contextmanager
    def _changing(self) -> Iterator[list[Acquaintance]]:
        try:
            with FileLock(self._path.with_suffix(".lock"), mode=0o600):
                known = list(self.all())
                yield known
                write_private(self._path, json.dumps({"machines": [asdict(one) for one in known]}, indent=1).encode())
        except OSError as error:
            raise self._unkept(error) from error

    def _unkept(self, error: OSError) -> StorageError:
        reason = (error.strerror or str(error)).lower()
        return StorageError(f"The file of known machines {self._path} cannot be used ({reason}): make it writable.")


def _read(value: Any) -> Acquaintance | None:
    """None for what a newer or a damaged file holds and this one cannot use."""
    try:
        one = Acquaintance(**{name: value[name] for name in Acquaintance.__dataclass_fields__ if name in value})
        sound = len(bytes.fromhex(one.key)) == 32 and one.role in _ROLES
    except (KeyError, TypeError, ValueError):
        return None
    return one if sound else None
