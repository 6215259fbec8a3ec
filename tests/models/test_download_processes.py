"""Downloads and processes: killed at any moment, two at once, and one whose model is larger than its memory may be."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub.contents import heavy_model
from tests.hub.fetching import check_cache, until
from tests.hub.loopback import LoopbackHub, serving

REPO = "org/heavy"


def fetching(hub: LoopbackHub, cache: Path) -> subprocess.Popen[str]:
    """A process that fetches `REPO`."""
    command = [sys.executable, "-m", "tests.hub.fetch_process", hub.endpoint, str(cache), REPO]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> tuple[str, int]:
    """How a process ended, and how much its memory grew."""
    said, _ = process.communicate(timeout=200)
    state, grown = said.split()
    return state, int(grown)


@pytest.mark.slow
def test_killed_at_twenty_random_moments_it_fetches_hardly_a_byte_twice(tmp_path: Path) -> None:
    moments = random.Random(7)
    model = heavy_model(120_000_000, files=2)
    with serving({REPO: model}) as hub:
        hub.bytes_per_second = 10e6  # a file: what is sent has then also arrived, on a busy machine too
        for kill in range(20):
            at = model.total_bytes * (kill + moments.random()) / 21
            with fetching(hub, tmp_path) as process:
                until(lambda at=at, process=process: hub.sent_bytes >= at or process.poll() is not None, 60)
                assert process.poll() is None, "it ended before it was killed"
                process.kill()
        hub.bytes_per_second = None
        with fetching(hub, tmp_path) as process:
            assert finished(process)[0] == "done"
        assert hub.sent_bytes <= 1.05 * model.total_bytes
        assert len({asked.range for asked in hub.asked if asked.store}) > 20
    check_cache(REPO, model, tmp_path)


def test_two_processes_share_the_work_of_one(tmp_path: Path) -> None:
    model = heavy_model(12_000_000, files=4)
    with serving({REPO: model}) as hub:
        hub.bytes_per_second = 3e6
        with fetching(hub, tmp_path) as one, fetching(hub, tmp_path) as other:
            assert finished(one)[0] == "done"
            assert finished(other)[0] == "done"
        assert hub.sent_bytes <= 1.02 * model.total_bytes
    check_cache(REPO, model, tmp_path)


def test_the_second_process_goes_on_when_the_first_is_killed(tmp_path: Path) -> None:
    model = heavy_model(6_000_000)
    with serving({REPO: model}) as hub:
        hub.bytes_per_second = 2e6
        with fetching(hub, tmp_path) as one, fetching(hub, tmp_path) as other:
            until(lambda: hub.sent_bytes > 1_000_000, 30)
            first = one if other.poll() is None else other
            first.kill()
            survivor = other if first is one else one
            assert finished(survivor)[0] == "done"
        assert hub.sent_bytes <= 1.1 * model.total_bytes
    check_cache(REPO, model, tmp_path)


@pytest.mark.slow
def test_three_gigabytes_take_little_memory(tmp_path: Path) -> None:
    model = heavy_model(3_000_000_000, files=4)
    with serving({REPO: model}) as hub, fetching(hub, tmp_path) as process:
        state, grown = finished(process)
    assert state == "done"
    assert grown <= 150_000_000
