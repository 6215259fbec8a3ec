"""Work on several threads: all of it is done, the first failure ends it, and nothing of it holds up a process's end."""

import threading

import pytest

from mlx_spec.models.library.fetching.side_by_side import side_by_side


def test_all_is_done_by_so_many_at_once() -> None:
    together = threading.Barrier(3)
    done: list[int] = []

    def work(number: int) -> None:
        together.wait(60)  # breaks unless three are at work
        assert threading.current_thread().daemon
        done.append(number)

    side_by_side(work, range(6), 3, lambda: None)
    assert sorted(done) == list(range(6))


def test_the_first_failure_ends_the_others_and_is_the_one_that_is_told() -> None:
    stop, begun = threading.Event(), threading.Event()
    seen: list[int] = []

    def work(number: int) -> None:
        seen.append(number)
        if number == 0:
            begun.set()
            assert stop.wait(60)
            raise RuntimeError("ended by the other")
        assert begun.wait(60)
        raise ValueError("the first")

    with pytest.raises(ValueError, match="the first"):
        side_by_side(work, range(100), 2, stop.set)
    assert sorted(seen) == [0, 1]
