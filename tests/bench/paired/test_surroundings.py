"""What goes on around a measurement: another process in bursts, a server that warms up, all that others compute."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mlx_spec.bench.paired import bursts
from mlx_spec.bench.paired.crowd import CpuSeconds, Crowd, CrowdWatch, cpu_seconds
from mlx_spec.bench.paired.disturber import Disturber
from mlx_spec.bench.paired.models import kept_calibrations
from mlx_spec.bench.paired.own_server import wait_until_idle


class TestDisturber:
    def test_it_takes_time_of_a_core_and_is_gone_when_left(self) -> None:
        with Disturber() as disturber:
            process = psutil.Process(disturber.pid)
            before = process.cpu_times().user
            while process.cpu_times().user <= before + 0.05:
                pass
        assert disturber.share > 0
        assert not process.is_running()

    def test_it_ends_when_the_bench_is_killed(self) -> None:
        code = (
            "import sys; from mlx_spec.bench.paired.disturber import Disturber\n"
            "with Disturber() as other: print(other.pid, flush=True); sys.stdin.read()"
        )
        bench = psutil.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        other = psutil.Process(int(bench.stdout.readline()))
        bench.kill()
        bench.communicate()
        other.wait(timeout=60)
        assert not other.is_running()

    def test_it_is_busy_for_a_burst_and_idle_for_as_long_until_its_input_closes(self) -> None:
        now, waits = [0.0], list[float]()

        def clock() -> float:
            now[0] += 0.25
            return now[0]

        def closed_within(seconds: float) -> bool:
            waits.append(now[0])
            return len(waits) == 3

        bursts.take_turns(1.0, closed_within, clock)
        assert [later - sooner for sooner, later in zip([0.0, *waits], waits, strict=False)] == [1.25, 1.25, 1.25]


@pytest.mark.parametrize(("used", "idle"), [([0.0, 0.4, 0.8, 0.81], True), ([at * 0.4 for at in range(9999)], False)])
def test_a_server_counts_as_idle_once_it_uses_next_to_nothing(used: list[float], idle: bool) -> None:
    now, seconds = [0.0], iter([value for value in used for _ in (0, 1)][1:])

    def sleep(pause: float) -> None:
        now[0] += pause

    assert wait_until_idle(1, busy_seconds=lambda pid: next(seconds), clock=lambda: now[0], sleep=sleep) is idle


class TestCrowd:
    def test_shares_are_of_all_cores_without_what_is_our_own(self) -> None:
        samples: Iterator[CpuSeconds] = iter([CpuSeconds(100, 50, 1, 5), CpuSeconds(120, 65, 3, 15)])
        assert CrowdWatch(sample=lambda: next(samples)).read() == Crowd(others=5 / 20, stolen=2 / 20)

    def test_no_time_at_all_is_no_share(self) -> None:
        assert CrowdWatch(sample=lambda: CpuSeconds(100, 50, 1, 5)).read() == Crowd(0.0, 0.0)

    def test_the_machines_counters_are_read_and_a_process_that_is_over_counts_nothing(self) -> None:
        now = cpu_seconds([2**22 + 1])
        assert now.total >= now.busy > 0
        assert now.own > 0


def test_calibrations_are_kept_as_they_stand_on_disk_the_newest_first(tmp_path: Path) -> None:
    folder = tmp_path / "calibration"
    folder.mkdir()
    texts = ['{"target": "a", "any": [1]}', '{"target": "b"}', '{"target": "a"}', "[]", "{"]
    for at, text in enumerate(texts):
        (folder / f"{at}.json").write_text(text)
        os.utime(folder / f"{at}.json", (at, at))
    assert kept_calibrations(tmp_path) == [{"target": "a"}, {"target": "b"}, {"target": "a", "any": [1]}]
    assert kept_calibrations(tmp_path, "a") == [{"target": "a"}, {"target": "a", "any": [1]}]
    assert kept_calibrations(tmp_path / "nowhere") == []
