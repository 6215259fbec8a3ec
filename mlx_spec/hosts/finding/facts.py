"""What a machine says of itself: chip, memory, versions. Without MLX, which would be imported for its number alone."""

import platform
import subprocess
import sys
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Self

import psutil

from mlx_spec.errors import LookaheadError
from mlx_spec.hosts.versions import Versions, versions_here


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """Memory in bytes: of the machine, and free now."""

    chip: str
    system: str
    total_bytes: int
    available_bytes: int
    python: str
    mlx: str
    mlx_lm: str
    lookahead: str

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """What another machine told. Raises LookaheadError where that is no facts."""
        try:
            return cls(**{one.name: one.type(values[one.name]) for one in fields(cls)})  # type: ignore[operator]
        except (KeyError, TypeError, ValueError) as error:
            raise LookaheadError("What a machine told of itself is not understood: update the older.") from error

    @property
    def versions(self) -> Versions:
        """What has to be equal in a group. Python has not: no word depends on it."""
        return Versions(self.mlx, self.mlx_lm, self.lookahead)


def own_facts() -> MachineFacts:
    """This machine's, now."""
    memory = psutil.virtual_memory()
    return MachineFacts(
        chip=_chip(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        total_bytes=int(memory.total),
        available_bytes=int(memory.available),
        python=platform.python_version(),
        **versions_here().to_dict(),
    )


@cache
def _chip() -> str:
    """As its maker calls it; empty where nothing tells."""
    try:
        if sys.platform == "darwin":
            asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except (OSError, subprocess.SubprocessError):
        return platform.processor()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())
