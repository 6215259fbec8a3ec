"""The user unit under a systemd of its own: written, started, started again where it failed, and gone without a rest.

Its manager lives in namespaces, with its own home and runtime folder: that of who runs the tests is never asked.
Skipped where there is no systemd, or where nobody may make namespaces.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

MANAGER = Path("/lib/systemd/systemd")
# systemd wants cgroups that it may change, and its clients a sign that a systemd is there.
AROUND = """
umount -R /sys/fs/cgroup 2>/dev/null
mount -t cgroup2 none /sys/fs/cgroup && mount -t tmpfs none /run/systemd && mkdir /run/systemd/system || exit 77
{manager} --user >/dev/null 2>&1 &
manager=$!
for _ in $(seq 100); do
    case "$(systemctl --user is-system-running)" in running | degraded) break ;; esac
    kill -0 $manager 2>/dev/null || exit 77
    sleep 0.2
done
systemctl --user is-system-running | grep -q running || {{ kill $manager; exit 77; }}
"$@"
code=$?
systemctl --user exit || kill $manager
wait $manager
exit $code
"""
# `cat` of a pipe that nobody writes into: it uses nothing, and ends only when it is ended.
INSIDE = """
import os, signal, subprocess, sys, time
from pathlib import Path
from mlx_spec.cli.commands.service.agent import Service
from mlx_spec.cli.commands.service.systemd import UNIT, UserUnit

def main_process():
    asked = ["systemctl", "--user", "show", "-p", "MainPID", "--value", UNIT]
    return int(subprocess.run(asked, capture_output=True, text=True).stdout)

home = Path.home()
os.mkfifo(home / "a pipe")
unit = UserUnit(home)
service = Service(("/bin/cat", str(home / "a pipe")), {"LOOKAHEAD_API_KEY": "a b%c"})
unit.install(service)
first = main_process()
assert first and unit.is_running()
assert b"LOOKAHEAD_API_KEY=a b%c" in Path(f"/proc/{first}/environ").read_bytes().split(bytes(1))
os.kill(first, signal.SIGKILL)
while main_process() in (0, first):
    time.sleep(0.1)
again = main_process()
unit.install(service)
assert main_process() not in (0, again), "the new one"
last = main_process()
assert unit.uninstall() and not unit.is_running()
assert not Path(f"/proc/{last}").exists()
assert [path for path in home.rglob(f"*{UNIT}*")] == []
print("all of it")
"""


@pytest.mark.skipif(not MANAGER.exists() or os.geteuid() != 0, reason="no systemd here, or no right to try one")
def test_a_real_manager_starts_it_and_forgets_it(tmp_path: Path) -> None:
    home, runtime = tmp_path / "Zuhause ä", tmp_path / "runtime"
    home.mkdir()
    runtime.mkdir(mode=0o700)
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "DBUS_", "LOOKAHEAD"))}
    program = [sys.executable, "-c", INSIDE]
    done = subprocess.run(
        ["unshare", "--mount", "--cgroup", "sh", "-c", AROUND.format(manager=MANAGER), "sh", *program],
        env=outside | {"HOME": str(home), "XDG_RUNTIME_DIR": str(runtime)}, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip("no systemd comes up in a namespace here")
    assert (done.returncode, done.stdout) == (0, "all of it\n"), done.stderr
