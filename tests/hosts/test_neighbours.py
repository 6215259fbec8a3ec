"""Rank 0 and what is named by loopback are on this machine."""

from mlx_spec.hosts.neighbours import neighbours


def test_who_is_on_whose_machine() -> None:
    assert neighbours(["a.local", "b.local"]) == ((0,), (1,))
    assert neighbours(["a.local", "localhost", "b", "127.0.0.2"]) == ((0, 1, 3), (0, 1, 3), (2,), (0, 1, 3))
