"""What a follower says when it comes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlx_spec.hosts.versions import Versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Its versions, its machine's memory in bytes, and where the others reach it (None: where it comes from)."""

    versions: Versions
    memory_bytes: int
    free_bytes: int
    address: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As it is sent."""
        return {
            "versions": self.versions.to_dict(),
            "memory_bytes": self.memory_bytes,
            "free_bytes": self.free_bytes,
            "address": self.address,
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> "Hello":
        """What `to_dict` made; also what an older or newer Lookahead made of it, as far as it can be told."""
        return cls(
            versions=Versions.from_dict(told.get("versions", {})),
            memory_bytes=int(told.get("memory_bytes", 0)),
            free_bytes=int(told.get("free_bytes", 0)),
            address=told.get("address"),
        )
