"""Reports of what went wrong: files that one can read, and send if one likes. Nothing here sends anything. No Qt."""

import contextlib
import faulthandler
import os
import platform
import re
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO

from app.upkeep.edition import program_version

MOST_REPORTS = 20
LOG_LINES = 200
LOG_BYTES = 100_000
_SECRETS = re.compile(r"(?i)(bearer\s+|api[-_]?key[=:\s]+|hf_)[\w.~+/=-]{6,}")
_LIBRARIES = ("mlx", "mlx-lm", "PySide6-Essentials", "numpy", "transformers")
_ENDED = "ended.trace"


class ReportFolder:
    """The reports of one data folder, the newest twenty of them. `log` is the file whose last lines go along."""

    def __init__(self, path: Path, log: Path) -> None:
        self.path, self._log = path, log
        self._trace: IO[str] | None = None

    def write(self, title: str, details: str) -> Path | None:
        """Write a report; None where the folder cannot be written to."""
        stamp = time.strftime("%Y-%m-%d-%H%M%S")
        text = "\n".join((title, "", *_facts(), "", "## What happened", details, "", "## The log", self._log_tail()))
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            path = _free(self.path, stamp)
            path.write_text(_discreet(text), encoding="utf-8")
            for old in self.all()[MOST_REPORTS:]:
                old.unlink(missing_ok=True)
        except OSError:
            return None  # whatever went wrong is told anyway
        return path

    def all(self) -> list[Path]:
        """The newest first."""
        return sorted(self.path.glob("report-*.txt"), reverse=True)

    def watch_for_the_end(self) -> Path | None:
        """From now on a crash of the whole process leaves its trace; that of the last process becomes a report.

        Returns that report, None where the last process ended as it should. Only one process may watch a folder.
        """
        trace, report = self.path / _ENDED, None
        with contextlib.suppress(OSError):
            self.path.mkdir(parents=True, exist_ok=True)
            if trace.is_file() and (left := trace.read_text(encoding="utf-8", errors="replace").strip()):
                report = self.write("Lookahead ended without a word.", left)
            self._trace = trace.open("w", encoding="utf-8")
            faulthandler.enable(self._trace)
        return report

    def _log_tail(self) -> str:
        try:
            with self._log.open("rb") as file:
                file.seek(max(0, self._log.stat().st_size - LOG_BYTES))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return "(there is none)"
        return "\n".join(lines[-LOG_LINES:])


def _facts() -> list[str]:
    """The program and the machine, as far as they matter to an error."""
    told = [f"Lookahead {program_version() or '(not installed)'}{' (bundle)' if getattr(sys, 'frozen', False) else ''}"]
    told += [f"{platform.platform()}, {platform.machine()}, Python {platform.python_version()}"]
    for library in _LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            told.append(f"{library} {version(library)}")
    return told


def _discreet(text: str) -> str:
    """Without the name of the home folder, and without what looks like a key."""
    home = os.path.expanduser("~")
    if len(home) > 1:
        text = text.replace(home, "~")
    return _SECRETS.sub(lambda found: f"{found[1]}…", text)


def _free(folder: Path, stamp: str) -> Path:
    """A name behind all that there are: several errors may fall into one second, of which the oldest are gone by then.
    Names sort by time."""
    newest = max(folder.glob(f"report-{stamp}-*.txt"), default=None)
    number = 0 if newest is None else int(newest.stem.rpartition("-")[2]) + 1
    return folder / f"report-{stamp}-{number:04d}.txt"
