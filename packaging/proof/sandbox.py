"""Where the frozen app is tried: no network but loopback, and for the app no Python, no checkout and an empty home.

The whole proof runs in a network namespace of its own; the app's processes run besides in a mount namespace in which
the folders of every Python here are empty. Linux only; `unshare` and `mount` are util-linux's.
"""

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

INSIDE = "LOOKAHEAD_PROOF_INSIDE"
# What is laid over: folders get an empty file system, programs become an empty file. Then the app is started.
_COVER = (
    'IFS=:; for place in $COVERED; do if [ -d "$place" ]; then mount -t tmpfs none "$place"; '
    'else mount --bind /dev/null "$place"; fi; done; unset COVERED IFS; exec "$@"'
)


def enter() -> None:
    """Start this very program again in a network of its own, and bring its loopback up. Raises OSError where the
    system lets nobody do that."""
    if not os.environ.get(INSIDE):
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        command = ["unshare", *user, "--net", "--mount", sys.executable, *sys.argv]
        os.execvpe(command[0], command, os.environ | {INSIDE: "1"})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as loopback:  # what `ip link set lo up` does
        fcntl.ioctl(loopback, 0x8914, struct.pack("16sH14x", b"lo", 0x41))
    with socket.socket() as probe:
        probe.settimeout(2)
        if probe.connect_ex(("192.0.2.1", 80)) == 0:
            raise OSError("there is still a network here")


def pythons(root: Path) -> list[str]:
    """Every place that a Python could be taken from: this one's, the system's, and the checkout."""
    folders = {sys.prefix, sys.base_prefix, str(root)} - {"/usr", "/usr/local"}
    for place in ("/usr/lib", "/usr/local/lib"):
        folders |= {str(path) for path in Path(place).glob("python3*")}
    programs = {
        str(path.resolve()) for place in ("/usr/bin", "/usr/local/bin") for path in Path(place).glob("python3*")
    }
    kept = sorted(folders, key=len)
    inner = [one for one in kept if any(one != other and one.startswith(f"{other}/") for other in kept)]
    return [one for one in kept if one not in inner] + sorted(
        program for program in programs if os.path.isfile(program)
    )


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Starts the app's two programs from `bundle` with the home `home`; they must not see `root`, the checkout."""

    bundle: Path
    home: Path
    root: Path

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """All that the app is given: an empty folder as its PATH, and nothing that Python reads."""
        (self.home / "bin").mkdir(parents=True, exist_ok=True)
        own = {"HOME": str(self.home), "PATH": str(self.home / "bin"), "LANG": "C.UTF-8", "TMPDIR": "/tmp"}
        return own | dict(more or {})

    def command(self, program: str, *arguments: str) -> list[str]:
        """What starts a program in its mount namespace; its process id is the program's."""
        covered = ":".join(pythons(self.root))
        return [
            shutil.which("env") or "env", f"COVERED={covered}", shutil.which("unshare") or "unshare", "--mount",
            "/bin/sh", "-c", f"PATH=/usr/sbin:/usr/bin:/sbin:/bin; export PATH; {_restoring(self.home)}", "sh",
            str(self.bundle / program), *arguments,
        ]  # fmt: skip

    def run(
        self, program: str, *arguments: str, more: Mapping[str, str] | None = None, timeout_s: float = 900
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end. The limit is for what hangs: on a busy machine a first answer takes minutes."""
        return subprocess.run(
            self.command(program, *arguments), env=self.environment(more), cwd=self.home, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, encoding="utf-8", check=False, timeout=timeout_s,
        )  # fmt: skip

    def start(
        self, program: str, *arguments: str, more: Mapping[str, str] | None = None, stdout: int = subprocess.DEVNULL
    ) -> subprocess.Popen[str]:
        """Start a program that goes on."""
        return subprocess.Popen(
            self.command(program, *arguments), env=self.environment(more), cwd=self.home, stdin=subprocess.DEVNULL,
            stdout=stdout, stderr=subprocess.DEVNULL, text=True, encoding="utf-8",
        )  # fmt: skip


def _restoring(home: Path) -> str:
    """The covering, after which PATH is the app's again."""
    return _COVER.replace("exec ", f"PATH={_quoted(str(home / 'bin'))} exec ")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def mounted(folder: Path, options: Sequence[str]) -> Path:
    """A small file system at a folder: full or read-only, as `mount -o` says it."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "none", str(folder)], check=True)
    return folder
