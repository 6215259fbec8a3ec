"""What a machine says of itself: chip, memory, versions. Without MLX, which would be imported for its number alone."""

import importlib.metadata
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Final, Self

import psutil

from mlx_spec.errors import LookaheadError

_PACKAGES: Final = {"mlx": "mlx", "mlx_lm": "mlx-lm", "lookahead": "lookahead-spec"}


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """Memory in bytes: of the machine, and free now. Versions are empty where a package is not there."""

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
    def versions(self) -> dict[str, str]:
        """What has to be equal in a group; Python by its first two numbers, as no word depends on the third."""
        python = ".".join(self.python.split(".")[:2])
        return {"Python": python, "MLX": self.mlx, "mlx-lm": self.mlx_lm, "Lookahead": self.lookahead}


def own_facts() -> MachineFacts:
    """This machine's, now."""
    memory = psutil.virtual_memory()
    return MachineFacts(
        chip=_chip(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        total_bytes=int(memory.total),
        available_bytes=int(memory.available),
        python=platform.python_version(),
        **{name: _version(package) for name, package in _PACKAGES.items()},
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


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
