"""Which versions a machine computes with: what must be the same on all machines of a group."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = {"mlx": "MLX", "mlx_lm": "mlx-lm", "lookahead": "Lookahead"}


@dataclass(frozen=True, slots=True)
class Versions:
    """Of MLX, mlx-lm and Lookahead; "unknown" where an installation carries no metadata."""

    mlx: str
    mlx_lm: str
    lookahead: str

    def to_dict(self) -> dict[str, str]:
        """By name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, told: Mapping[str, str]) -> "Versions":
        """What `to_dict` made."""
        return cls(**{name: str(told.get(name, "unknown")) for name in _PACKAGES})

    def differences(self, other: "Versions", there: str) -> str | None:
        """What is another version on the machine `there`, as a part of a sentence; None where nothing is."""
        mine, theirs = self.to_dict(), other.to_dict()
        parts = [
            f"{title} {theirs[name]} on {there} and {mine[name]} here"
            for name, title in _PACKAGES.items()
            if mine[name] != theirs[name]
        ]
        return " and ".join(parts) or None


def versions_here() -> Versions:
    """Those of this machine. Imports none of the packages."""
    return Versions(_version("mlx"), _version("mlx-lm"), _version("lookahead-spec"))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
