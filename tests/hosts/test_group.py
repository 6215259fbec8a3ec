"""What is told of a group, through JSON and back."""

import json

from mlx_spec.hosts.group import GroupState, RankState, Share


def test_it_comes_back_as_it_was() -> None:
    ranks = (
        RankState(rank=0, host="a", stage="ready", memory_bytes=8, share=Share(0.5, (12, 24))),
        RankState(rank=1, host="b", stage="lost", error="gone"),
    )
    state = GroupState(stage="lost", message="b is gone.", backend="ring", ranks=ranks, way="pipeline", times_formed=3)
    assert GroupState.from_dict(json.loads(json.dumps(state.to_dict()))) == state


def test_a_stage_is_since_it_began() -> None:
    one = RankState(rank=1, host="b", stage="loading", since_s=5.0)
    assert one.at("loading", progress=0.5).since_s == 5.0
    assert one.at("ready").since_s > 5.0
