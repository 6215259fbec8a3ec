"""Work that takes too long is noticed, once; work that only once took long is given its time."""

import threading

import pytest

from mlx_spec.hosts.watchdog import TIMES_LONGEST, TIMES_UNSEEN, Watchdog


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


def test_of_the_first_piece_nobody_knows_how_long_it_takes(clock: Clock) -> None:
    dog = Watchdog(8.0, lambda taken_s: None)
    assert dog.limit_s("step") == 8.0 * TIMES_UNSEEN
    with dog.watching("step"):
        pass
    assert dog.limit_s("step") == 8.0
    dog.close()


def test_what_took_long_may_again_and_what_has_more_rows_too(clock: Clock) -> None:
    dog = Watchdog(8.0, lambda taken_s: None)
    with dog.watching("step"):
        clock.now += 0.1
    assert dog.limit_s("step") == pytest.approx(8.0 + TIMES_LONGEST * 0.1 + 2 * 0.1)
    assert dog.limit_s("another kind") == pytest.approx(8.0 + 2 * 0.1)
    assert dog.limit_s("step", 64) == pytest.approx(8.0 + 2 * 64 * 0.1)  # a prompt, after words alone
    assert dog.limit_s("step", 4096) == pytest.approx(8.0 + 8.0 * TIMES_UNSEEN)
    dog.close()


def test_each_beat_begins_another_piece(clock: Clock) -> None:
    dog = Watchdog(8.0, lambda taken_s: None)
    dog.beat()  # nothing is under way: nothing is measured
    with dog.watching("step"):
        for _ in range(5):
            clock.now += 1.0
            dog.beat(100)
    assert dog.limit_s("step", 100) == pytest.approx(8.0 + TIMES_LONGEST * 0.9 + 8.0 * TIMES_UNSEEN)
    dog.close()


def test_what_once_stood_still_is_forgotten_and_never_allows_to_stand_still_for_long(clock: Clock) -> None:
    dog = Watchdog(8.0, lambda taken_s: None)
    with dog.watching("step"):
        clock.now += 40.0
        dog.beat()
        assert dog.limit_s("step") < 5 * 60
        for _ in range(50):
            clock.now += 0.1
            dog.beat()
    assert dog.limit_s("step") < 30
    dog.close()
