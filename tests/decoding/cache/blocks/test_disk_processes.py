"""Processes that are killed at any moment, and several on one folder: what is found is right, or nothing is found."""

import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlx_spec.decoding.cache.blocks.disk import DiskTier
from mlx_spec.decoding.cache.blocks.shelf import UNCLAIMED_S
from tests.decoding.cache.blocks.busy import WHO, act
from tests.decoding.cache.blocks.texts import is_right, keep, known

CAPACITY = 40_000  # a dozen blocks
KILLS = 12

Start = Callable[[int], "subprocess.Popen[str]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "prefixes"


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts a process that is busy in the folder; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def busy(seed: int) -> "subprocess.Popen[str]":
        words = [sys.executable, "-m", "tests.decoding.cache.blocks.busy", str(folder), str(CAPACITY), str(seed)]
        root = Path(__file__).parents[4]
        child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root)
        started.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "busy\n", child.communicate()[1]
        return child

    yield busy
    for child in started:
        child.kill()
        child.communicate()


def check(folder: Path, caplog: pytest.LogCaptureFixture) -> DiskTier:
    """The folder opens; all blocks of all texts are there and right, and all others; nobody can read them; later, all
    that is left is what texts hold."""
    tier = DiskTier(folder, WHO, CAPACITY)
    for later in (0.0, UNCLAIMED_S + 1):
        tier = DiskTier(folder, WHO, CAPACITY, lambda later=later: time.time() + later)
        shelf = tier._shelf.known
        assert all(shelf.held[name] == text.keys for name, text in shelf.texts.items())
        for key in list(shelf.blocks):
            block = tier.load(key)
            assert block is not None
            assert is_right(block)
    assert not shelf.unclaimed
    there = [path for path in folder.rglob("*") if path.is_file()]
    assert len(there) == tier.usage.num_blocks + tier.usage.num_texts, "no half files"
    assert {path.stat().st_mode & 0o077 for path in folder.rglob("*")} <= {0}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    return tier


def test_a_process_may_be_killed_at_any_moment(folder: Path, start: Start, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(7)
    left = []
    for seed in range(KILLS):
        child = start(seed)
        time.sleep(chance.uniform(0.0, 0.15))
        assert child.poll() is None, child.communicate()[1]
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        left.append(len(list(folder.rglob("*.safetensors"))))
        if seed % 3 == 2:
            check(folder, caplog)
    assert max(left) > 3, "they had begun"
    keep(check(folder, caplog), "abcabc", "1")
    assert known(DiskTier(folder, WHO, CAPACITY), "abcabc") == 6


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


def test_a_process_may_be_killed_before_and_after_each_call_that_changes_the_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All moments of a story in turn, where chance may miss some. What cleans up behind an error does not run either:
    after the first, no call changes anything."""
    real: dict[str, Callable[..., Any]] = {}
    countdown, promised = [0], [0]

    def dying(name: str) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            countdown[0] -= 1
            if countdown[0] <= 0:
                raise Killed
            return real[name](*given, **named)

        return call

    def story() -> None:
        tier = DiskTier(folder, WHO, CAPACITY // 3)
        keep(tier, "ab", "1")
        promised[0] = 2
        keep(tier, "abc", "1")
        promised[0] = 3
        keep(tier, "abx", "2")
        promised[0] = 0
        tier.forget_owner("1")
        keep(tier, "limit", "3")

    moment = 0
    while True:
        moment += 1
        with monkeypatch.context() as patch:
            countdown[0], promised[0] = moment, 0
            for name in ("write", "fsync", "replace", "unlink", "mkdir", "rmdir", "chmod", "fchmod"):
                real[name] = getattr(os, name)
                patch.setattr(os, name, dying(name))
            try:
                story()
                break
            except Killed:
                pass
        tier = check(folder, caplog)
        assert known(tier, "abc") >= promised[0], "what was kept stays where something longer takes its place"
        tier.forget_all()
    assert moment > 40


def test_several_processes_share_a_folder(folder: Path, start: Start, caplog: pytest.LogCaptureFixture) -> None:
    others = [start(seed) for seed in (101, 102)]
    tier, chance = DiskTier(folder, WHO, CAPACITY), random.Random(103)
    until = time.monotonic() + 2.0
    while time.monotonic() < until:
        act(tier, chance)
    for other in others:
        assert other.poll() is None, other.communicate()[1]
        other.kill()
        _, said = other.communicate()
        assert said == "", "nothing was damaged, nothing refused"
    assert tier._writes
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    keep(tier, "abcabc", "1")
    assert known(tier, "abcabc") == 6


def test_a_file_that_the_system_cuts_short_is_a_full_disk(folder: Path) -> None:
    """A real refusal in the middle of a write: the process may write no file longer than a block's first half."""
    code = f"""
import os, resource, signal, sys
from pathlib import Path
from mlx_spec.decoding.cache.blocks.disk import DiskTier
from tests.decoding.cache.blocks.texts import keep, known
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
tier = DiskTier(Path({str(folder)!r}), {WHO!r}, {CAPACITY})
keep(tier, "ab", "1")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
keep(tier, "abcd", "1")
keep(tier, "abxy", "1")
assert known(tier, "abcd") == 2
os._exit(0)  # the end of an MLX process may be an abort, where the machine is busy
"""
    root = Path(__file__).parents[4]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"{folder} cannot be written to (File too large): no more is kept on disk.\n"
    assert known(DiskTier(folder, WHO, CAPACITY), "abcd") == 2
    assert not list(folder.rglob("*.part"))
