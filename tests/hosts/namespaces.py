"""Network namespaces on one machine, as if each were a machine of its own: with a delay on the way, and a cable to cut.

Needs root, `ip` and TUN. A bridge in this namespace, and a pair of ends for each other machine.
"""

import fcntl
import json
import os
import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_NET = "10.213.77"
_BRIDGE = "lookahead0"
_MTU = "9000"
# Of linux/if_tun.h.
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000


def can_make_namespaces() -> bool:
    """Whether this process may."""
    if os.geteuid() != 0 or not (shutil.which("ip") and os.path.exists("/dev/net/tun")):
        return False
    probe = subprocess.run(["ip", "netns", "add", "lookahead-probe"], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "del", "lookahead-probe"], capture_output=True, check=False)
    return probe.returncode == 0


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _tap(name: str) -> int:
    """A TAP device, by its descriptor."""
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    return end


class Namespaces:
    """`ranks` - 1 namespaces beside this one; a frame takes `delay_ms` from one to another, as on so long a cable."""

    def __init__(self, ranks: int, delay_ms: float = 0.0) -> None:
        self.names = [f"lookahead{rank}" for rank in range(1, ranks)]
        self._delay_ms = delay_ms
        self._cut: str | None = None
        self._ends: list[int] = []
        self._cable: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._clear()
        _run("ip", "link", "add", _BRIDGE, "type", "bridge")
        _run("ip", "addr", "add", f"{_NET}.1/24", "dev", _BRIDGE)
        for number, name in enumerate(self.names, 2):
            near, far = f"{name}a", f"{name}b"
            _run("ip", "netns", "add", name)
            if self._delay_ms:
                self._ends += [_tap(near), _tap(far)]
            else:
                _run("ip", "link", "add", near, "type", "veth", "peer", "name", far)
            _run("ip", "link", "set", near, "mtu", _MTU, "master", _BRIDGE, "up")
            _run("ip", "link", "set", far, "mtu", _MTU, "netns", name)
            _run("ip", "-n", name, "addr", "add", f"{_NET}.{number}/24", "dev", far)
            for device in (far, "lo"):
                _run("ip", "-n", name, "link", "set", device, "up")
        _run("ip", "link", "set", _BRIDGE, "mtu", _MTU, "up")
        if self._ends:
            middle = Path(f"/sys/class/net/{_BRIDGE}/address").read_text().strip()
            command = [sys.executable, "-m", "tests.hosts.cable", str(self._delay_ms), middle, *map(str, self._ends)]
            self._cable = subprocess.Popen(command, pass_fds=self._ends)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()

    def hostfile(self, folder: Path) -> Path:
        """This machine and the others, as mlx.launch would be told."""
        rows: list[dict[str, Any]] = [{"ssh": "localhost", "ips": [f"{_NET}.1"]}]
        rows += [{"ssh": name, "ips": [f"{_NET}.{number}"]} for number, name in enumerate(self.names, 2)]
        path = folder / "hosts.json"
        path.write_text(json.dumps(rows))
        return path

    def write_ssh(self, path: Path) -> None:
        """A program for `ssh`, which enters the namespace instead. Its options end before what has no dash."""
        path.write_text(
            "#!/bin/sh\n"
            'while [ $# -gt 0 ]; do case "$1" in -o) shift 2;; -*) shift;; *) break;; esac; done\n'
            'name="$1"; shift\n'
            '[ -n "$(ip link show "${name}a" up 2>/dev/null)" ] || {'
            ' echo "ssh: connect to host $name port 22: No route to host" >&2; exit 255; }\n'
            'exec ip netns exec "$name" sh -c "$*"\n'
        )
        path.chmod(0o755)

    def cut(self, chosen: random.Random) -> str:
        """Cut the cable of one; its name."""
        self._cut = chosen.choice(self.names)
        _run("ip", "link", "set", f"{self._cut}a", "down")
        return self._cut

    def mend(self) -> None:
        """Mend what was cut."""
        if self._cut is not None:
            _run("ip", "link", "set", f"{self._cut}a", "up")
            self._cut = None

    def _clear(self) -> None:
        if self._cable is not None:
            self._cable.kill()
            self._cable.wait()
            self._cable = None
        for end in self._ends:
            os.close(end)
        self._ends = []
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
            subprocess.run(["ip", "link", "del", f"{name}a"], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", _BRIDGE], capture_output=True, check=False)
