"""Which models a process of our own is to load, as its command line has them; and where their calibrations lie."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The options `--target`, `--draft`, `--pair` and `--anyway`, as they were given."""

    target: str | None = None
    draft: str | None = None
    pair: str = "starter"
    anyway: bool = False

    @property
    def name(self) -> str:
        """Of the target or the pair."""
        return self.target or self.pair

    def arguments(self) -> list[str]:
        """For `mlx-spec generate` or `mlx-spec serve`."""
        named = ["--target", self.target] if self.target is not None else ["--pair", self.pair]
        draft = ["--draft", self.draft] if self.draft is not None else []
        return [*named, *draft, *(["--anyway"] if self.anyway else [])]


def kept_calibrations(home: Path, target_name: str | None = None) -> list[dict[str, Any]]:
    """What a data folder holds of measured costs, of one target or of all, the newest first.

    As it stands there: every value is worth keeping beside a time, whatever a calibration consists of. Damaged files
    count as none.
    """
    found = []
    for path in sorted((home / "calibration").glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(kept, dict) and target_name in (None, kept.get("target")):
            found.append(kept)
    return found
