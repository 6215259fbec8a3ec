"""Two ranks of a group on one machine, each with its share of a target: the words are those of one machine."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

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
    command = [sys.executable, "-m", "tests.decoding.following.rank", *cases]
    started = [
        subprocess.Popen(command, env=given | {"MLX_RANK": str(rank)}, stdout=subprocess.PIPE, text=True)
        for rank in range(ranks)
    ]
    try:
        told = [one.communicate(timeout=240)[0] for one in started]
    finally:
        for one in started:
            one.kill()
    assert [one.returncode for one in started] == [0] * ranks
    return [json.loads(line) for line in told[0].splitlines()]


def test_shares_of_a_target_say_what_the_whole_says(tmp_path: Path) -> None:
    """With trees, a prefix that is found and an answer that steps aside; with heads, whose states come with the pass;
    a batch of four. All on MLX's own BLAS."""
    found = came_of(CASES, 2, tmp_path)
    assert [one["case"] for one in found] == [case.split("/") for case in CASES]
    for one in found:
        assert all(one["same"]), one
        assert one["preempted"] >= 1
        assert one["found"] >= 24
        assert one["accepted"] >= 5
    assert found[1]["drafters"] == ["dflash", "eagle", "medusa"]
