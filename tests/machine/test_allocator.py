"""What MLX frees stays with the process, and is not cleared again by the system when it is wanted next."""

import subprocess
import sys

import pytest

from mlx_spec.machine import allocator

# Pages cleared while 64 arrays of 1 MB are made and freed in a thread, the second time.
SCRIPT = """
import resource, sys, threading
sys.argv[1] == "kept" and __import__("mlx_spec.machine.allocator", fromlist=["_"]).keep_freed_memory()
import mlx.core as mx
def copies():
    mx.eval([mx.full((1 << 18,), float(at)) for at in range(64)])
def twice():
    copies()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    copies()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
thread = threading.Thread(target=twice)
thread.start()
thread.join()
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True, timeout=60)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="what MLX does on Linux")
def test_arrays_made_again_take_pages_that_are_there() -> None:
    assert 8 * faults("kept") < faults("as ever")


def test_nothing_is_done_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not allocator.keep_freed_memory()
