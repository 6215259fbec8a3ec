"""Which versions a machine computes with: what must be the same on all machines of a group."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

UNKNOWN: Final = "unknown"
_PACKAGES: Final = {"mlx": "MLX", "mlx_lm": "mlx-lm", "lookahead": "Lookahead"}


@dataclass(frozen=True, slots=True)
class Versions:
    """Of MLX, mlx-lm and Lookahead; "unknown" where an installation carries no metadata, and that is like no other."""

    mlx: str
    mlx_lm: str
    lookahead: str

    def to_dict(self) -> dict[str, str]:
        """By name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, told: Mapping[str, str]) -> "Versions":
        """What `to_dict` made."""
        return cls(**{name: str(told.get(name, UNKNOWN)) for name in _PACKAGES})

    @property
    def titled(self) -> dict[str, str]:
        """By the names for people."""
        return dict(zip(_PACKAGES.values(), self.to_dict().values(), strict=True))

    def differences(self, other: "Versions", there: str) -> str | None:
        """What is another version on the machine `there`, or may be, as a part of a sentence; None where nothing is."""
        parts = [
            f"{title} {theirs} on {there} and {mine} here"
            for (title, mine), theirs in zip(self.titled.items(), other.titled.values(), strict=True)
            if mine != theirs or mine == UNKNOWN
        ]
        return " and ".join(parts) or None


def versions_here() -> Versions:
    """Those of this machine. Imports none of the packages."""
    return Versions(_version("mlx"), _version("mlx-lm"), _version("lookahead-spec"))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return UNKNOWN
