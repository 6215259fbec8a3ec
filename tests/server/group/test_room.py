"""The pool of keys and values is as large as the machine with the least room for its part of them allows."""

from mlx_spec.config import Keeping
from mlx_spec.hosts.group import RankState, Share
from mlx_spec.server.group.room import bounded

LEADER = RankState(rank=0, host="a")


def follower(free: int | None, held: int | None = None, layers: tuple[int, int] | None = None) -> RankState:
    return RankState(rank=1, host="b", free_bytes=free, held_bytes=held, share=Share(0.5, layers))


def test_who_has_least_left_decides() -> None:
    keeping = Keeping(pool_bytes=1_000)
    assert bounded(keeping, [LEADER, follower(10_000)]).pool_bytes == 1_000
    assert bounded(keeping, [LEADER, follower(1_000, 500)]).pool_bytes == 450
    assert bounded(keeping, [LEADER, follower(None)]).pool_bytes == 1_000
    assert bounded(keeping, [LEADER, follower(100, 500)]).pool_bytes == 1


def test_who_has_more_layers_needs_more_for_each_token() -> None:
    leader = RankState(rank=0, host="a", share=Share(0.25, (6, 8)))
    assert bounded(Keeping(pool_bytes=1_000), [leader, follower(1_000, 0, (0, 6))]).pool_bytes == 300


def test_what_nobody_asked_for_is_what_this_machine_has_left() -> None:
    pool = bounded(Keeping(), [LEADER, follower(1 << 60)]).pool_bytes
    assert pool is not None
    assert pool > 1 << 20


def test_ranks_of_one_machine_have_what_is_left_there_between_them() -> None:
    ranks = [RankState(rank=rank, host="127.0.0.1", free_bytes=1_000, held_bytes=200) for rank in range(3)]
    assert bounded(Keeping(pool_bytes=1_000), ranks).pool_bytes == 120
