"""Two ranks of a group on one machine, each with its share of a target: the words are those of one machine."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="ranks are forked, which Metal does not outlive")
CASES = ("llama/tensor/strict/swap", "headed/pipeline/strict/recompute")


def free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def came_of(cases: tuple[str, ...], ranks: int, folder: Path) -> list[dict[str, Any]]:
    """What rank 0 printed; all of them have ended well."""
    *ports, control = free_ports(ranks + 1)
    hosts = folder / "hosts.json"
    hosts.write_text(json.dumps([[f"127.0.0.1:{port}"] for port in ports]))
    given = os.environ | {"MLX_HOSTFILE": str(hosts), "RANK_PORT": str(control)}
    given.pop("LD_PRELOAD", None)  # MLX's own BLAS
    command = [sys.executable, "-m", "tests.decoding.following.rank", str(ranks), *cases]
    done = subprocess.run(command, env=given, stdout=subprocess.PIPE, text=True, timeout=240, check=False)
    assert done.returncode == 0
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_shares_of_a_target_say_what_the_whole_says(tmp_path: Path) -> None:
    """With trees, a prefix that is found and an answer that steps aside; with heads, whose states come with the pass;
    a batch of four. All on MLX's own BLAS."""
    found = came_of(CASES, 2, tmp_path)
    assert [one["case"] for one in found] == [case.split("/") for case in CASES]
    for one in found:
        assert all(one["same"]), one
        assert one["preempted"] >= 1
        assert one["found"] >= 16  # of its prompt: what rounds have read does not count where prompts attend apart
        assert one["accepted"] >= 5
    assert found[1]["drafters"] == ["dflash", "eagle", "medusa"]
