"""Downloads and processes: killed at any moment, two at once, and one whose model is larger than its memory may be."""

import multiprocessing
import random
import subprocess
import sys
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from tests.hub.contents import heavy_model
from tests.hub.fetch_process import fetch_here
from tests.hub.fetching import check_cache, until
from tests.hub.loopback import LoopbackHub, serving

REPO = "org/heavy"


# A server that has everything imported forks each process: twenty of them start in a moment.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.hub.fetch_process"])


def fetching(hub: LoopbackHub, cache: Path) -> ForkServerProcess:
    """A process that fetches `REPO`."""
    process = SERVER.Process(target=fetch_here, args=(hub.endpoint, cache, REPO))
    process.start()
    return process


def succeeds(process: ForkServerProcess) -> bool:
    """Whether a process fetched the model."""
    process.join(100)
    return process.exitcode == 0


@pytest.mark.slow
def test_killed_at_twenty_random_moments_it_fetches_hardly_a_byte_twice(tmp_path: Path) -> None:
    moments = random.Random(7)
    model = heavy_model(60_000_000, files=2)
    with serving({REPO: model}) as hub:
        hub.bytes_per_second = 8e6  # a file: what is sent has then also arrived, on a busy machine too
        for kill in range(20):
            at = model.total_bytes * (kill + moments.random()) / 21
            process = fetching(hub, tmp_path)
            until(lambda at=at, process=process: hub.sent_bytes >= at or not process.is_alive(), 60)
            assert process.is_alive(), "it ended before it was killed"
            process.kill()
            process.join()
        hub.bytes_per_second = None
        assert succeeds(fetching(hub, tmp_path))
        assert hub.sent_bytes <= 1.05 * model.total_bytes
        assert len({asked.range for asked in hub.asked if asked.store}) > 20
    check_cache(REPO, model, tmp_path)


def test_two_processes_share_the_work_of_one(tmp_path: Path) -> None:
    model = heavy_model(12_000_000, files=4)
    with serving({REPO: model}) as hub:
        hub.bytes_per_second = 3e6
        one, other = fetching(hub, tmp_path), fetching(hub, tmp_path)
        assert succeeds(one)
        assert succeeds(other)
        assert hub.sent_bytes <= 1.02 * model.total_bytes
    check_cache(REPO, model, tmp_path)


def test_the_second_process_goes_on_when_the_first_is_killed(tmp_path: Path) -> None:
    model = heavy_model(6_000_000)
    with serving({REPO: model}) as hub:
        hub.bytes_per_second = 2e6
        first = fetching(hub, tmp_path)
        until(lambda: hub.sent_bytes > 500_000, 30)
        other = fetching(hub, tmp_path)
        until(lambda: hub.sent_bytes > 2_000_000, 30)
        assert other.is_alive()
        first.kill()
        assert succeeds(other)
        assert hub.sent_bytes <= 1.1 * model.total_bytes
    check_cache(REPO, model, tmp_path)


@pytest.mark.slow
def test_a_gigabyte_takes_little_memory(tmp_path: Path) -> None:
    model = heavy_model(1_000_000_000, files=4)
    with serving({REPO: model}) as hub:
        command = [sys.executable, "-m", "tests.hub.fetch_process", hub.endpoint, str(tmp_path), REPO]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(told.stdout) <= 150_000_000
