"""A process that is held by a leash ends with it, whatever it does; and nobody is hurt who only has its number."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlx_spec.hosts.leash import read_line

HANGS_S = 60.0
HELD = """
import os, sys, time
from mlx_spec.hosts.leash import be_held, read_line
line = read_line().decode()
be_held()
print(line, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("stopped", [False, True])
def test_it_ends_with_its_leash(stopped: bool) -> None:
    command = [sys.executable, "-c", HELD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as held:
        assert held.stdin is not None
        assert held.stdout is not None
        held.stdin.write(b"the first line\n")
        held.stdin.flush()
        assert held.stdout.readline() == b"the first line\n"
        if stopped:
            held.send_signal(signal.SIGSTOP)
        held.stdin.close()
        assert held.wait(HANGS_S) == -signal.SIGKILL


def test_another_process_of_that_number_is_left_alone(tmp_path: Path) -> None:
    """The shell that kills looks whether it is still its parent."""
    from mlx_spec.hosts import leash

    with subprocess.Popen(["sleep", "600"]) as other:
        script = ["/bin/sh", "-c", leash._SCRIPT, str(other.pid)]
        assert subprocess.run(script, stdin=subprocess.DEVNULL, check=False, timeout=HANGS_S).returncode != 0
        assert other.poll() is None
        other.kill()


def test_no_byte_behind_the_line_is_read() -> None:
    reads, writes = os.pipe()
    os.write(writes, b"one\ntwo")
    os.close(writes)
    assert read_line(reads) == b"one"
    assert os.read(reads, 10) == b"two"
    assert read_line(reads) == b""
    os.close(reads)
