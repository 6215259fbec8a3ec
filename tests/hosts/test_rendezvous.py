"""What MLX finds in its environment, as mlx.launch would have put it there."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlx_spec.hosts.rendezvous import Rendezvous, meeting

PLACES = {0: (("10.0.0.1", "10.1.0.1"), (5000, 5007)), 1: (("10.0.0.2", "10.1.0.2"), (6000, 6003))}
NAMES = ("MLX_RANK", "MLX_HOSTFILE", "MLX_JACCL_COORDINATOR", "MLX_IBV_DEVICES", "MLX_JACCL_RING")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that it is taken away again
        monkeypatch.delenv(name)


def test_a_ring(tmp_path: Path) -> None:
    made = Rendezvous.from_dict(json.loads(json.dumps(meeting("ring", PLACES).to_dict())))
    made.enter(1, tmp_path)
    assert (made.name, os.environ["MLX_RANK"]) == ("ring", "1")
    ring = json.loads(Path(os.environ["MLX_HOSTFILE"]).read_text())
    assert ring == [["10.0.0.1:5000", "10.1.0.1:5007"], ["10.0.0.2:6000", "10.1.0.2:6003"]]
    assert "MLX_IBV_DEVICES" not in os.environ


@pytest.mark.parametrize(("backend", "ring"), [("jaccl", None), ("jaccl-ring", "1")])
def test_jaccl(tmp_path: Path, backend: str, ring: str | None) -> None:
    rdma = ((None, "rdma_en2"), (["rdma_en2", "rdma_en3"], None))
    made = Rendezvous.from_dict(json.loads(json.dumps(meeting(backend, PLACES, rdma).to_dict())))
    made.enter(0, tmp_path)
    assert (made.name, os.environ["MLX_JACCL_COORDINATOR"]) == ("jaccl", "10.0.0.1:5000")
    assert json.loads(Path(os.environ["MLX_IBV_DEVICES"]).read_text()) == [list(one) for one in rdma]
    assert os.environ.get("MLX_JACCL_RING") == ring


HOLDING = """
import ctypes
from mlx_spec.hosts.rendezvous import ended_after
with ended_after(600.0):
    pass  # and no more behind it
with ended_after({limit_s}):
    ctypes.PyDLL(None).sleep(60)  # no thread of this process goes on meanwhile
"""


def test_what_holds_the_interpreter_is_ended_by_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", HOLDING.format(limit_s=0.05)], timeout=50, check=False)
    assert done.returncode == -signal.SIGALRM
