"""Work that takes too long is noticed, once; work that only once took long is given its time."""

import threading

import pytest

from mlx_spec.hosts.watchdog import TIMES_LONGEST, Watchdog


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """As time.monotonic."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("mlx_spec.hosts.watchdog.time", made)
    return made


def test_it_calls_once(clock: Clock) -> None:
    told, called = [], threading.Event()
    dog = Watchdog(0.04, lambda taken_s: (told.append(taken_s), called.set()))
    with dog.watching("step"):
        clock.now = 9.0
        assert called.wait(60)
    assert told == [9.0]


def test_what_took_long_may_again(clock: Clock) -> None:
    dog = Watchdog(8.0, lambda taken_s: None)
    with dog.watching("step"):
        clock.now += 3.0
    assert dog.limit_s("step") == 8.0 + TIMES_LONGEST * 3.0
    assert dog.limit_s("another kind") == 8.0
    dog.close()


def test_each_beat_begins_another_piece(clock: Clock) -> None:
    dog = Watchdog(8.0, lambda taken_s: None)
    dog.beat()  # nothing is under way: nothing is measured
    with dog.watching("step"):
        for _ in range(5):
            clock.now += 1.0
            dog.beat()
        clock.now += 0.5
    assert dog.limit_s("step") == 8.0 + TIMES_LONGEST * 1.0
    dog.close()
