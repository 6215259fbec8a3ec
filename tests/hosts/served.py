"""`mlx-spec serve` over several ranks, as a process: on loopback, or in namespaces of their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.hosts.namespaces import Namespaces

FORMS_S = 600.0


@contextmanager
def serving(
    options: Sequence[str], ranks: int, folder: Path, spaces: Namespaces | None, environment: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, with `options` of its own, and its address. `folder` is for what it needs on the way."""
    changed = dict(os.environ | environment)
    hosts = ["--hosts", ",".join(["127.0.0.1"] * ranks)]
    if spaces is not None:
        hosts, changed["PATH"] = ["--hostfile", str(spaces.hostfile(folder))], f"{folder}:{changed['PATH']}"
        spaces.write_ssh(folder / "ssh")
    command = [sys.executable, "-m", "mlx_spec.cli", "serve", *hosts, *options, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=changed) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split()[-1]
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def group_state(url: str) -> dict[str, Any]:
    """What /v1/group says; empty where nobody answers yet."""
    try:
        answer: dict[str, Any] = httpx.get(f"{url}/v1/group", timeout=5).json()
    except (httpx.HTTPError, ValueError):
        return {}
    return answer


def whole(process: subprocess.Popen[str], url: str, times: int = 1, *, limit_s: float = FORMS_S) -> float:
    """Wait until the group was whole so many times; the seconds that took."""
    begun = time.monotonic()
    while (seen := group_state(url)).get("stage") != "ready" or seen["times_formed"] < times:
        if process.poll() is not None or time.monotonic() - begun > limit_s:
            raise SystemExit(f"The group did not form: {seen}")
        time.sleep(0.2)
    return time.monotonic() - begun


def ranks_below(pid: int) -> dict[str, list[psutil.Process]]:
    """The processes of the ranks: the leader, and the followers."""
    found: dict[str, list[psutil.Process]] = {"leader": [], "follower": []}
    for one in psutil.Process(pid).children(recursive=True):
        try:
            line = " ".join(one.cmdline())
        except psutil.Error:
            continue
        if "mlx_spec.cli hosts follow" in line and not line.startswith(("sh ", "ssh ", "ip ", "/bin/sh")):
            found["follower"].append(one)
        elif "mlx_spec.cli serve" in line:
            found["leader"].append(one)
    return found


def say(line: str) -> None:
    """A line for who waits."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
