"""What is said before, or instead of, loading: no split for so many ranks, no room for a rank, or for the draft."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlx_spec.errors import DoesNotFitError, UnsupportedModelError
from mlx_spec.hosts.group import GroupState, RankState, Share
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.named import PairFolders
from mlx_spec.models.room import room_of
from mlx_spec.models.splitting.ways import ways_of
from mlx_spec.server.group.loading import check_room, chosen, found, own_room, shares_of
from tests.cli.folders import save_folder
from tests.tiny import tiny_llama

HALVES = [Share(0.5), Share(0.5)]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """Two layers of four heads, in two groups."""
    return ModelFolder.at(Path(save_folder(tiny_llama(0), tmp_path_factory.mktemp("model") / "target")))


def test_ranks_that_no_split_allows(target: ModelFolder) -> None:
    with pytest.raises(UnsupportedModelError) as error:
        found(str(target.path), 3, "auto", "auto")
    assert str(error.value).count("3") >= 2  # neither way


def test_the_way_that_is_asked_for_or_the_one_that_is_there(target: ModelFolder) -> None:
    ways = ways_of(target, 2)
    assert chosen(ways, "auto", "auto").way == "tensor"
    assert chosen(ways, "auto", "fast").exactness == "fast"
    split = chosen(ways, "pipeline", "strict")
    assert (split.way, split.layers) == ("pipeline", (1, 1))
    assert [one.layers for one in shares_of(ways, split)] == [(1, 2), (0, 1)]


def folders_of(target: ModelFolder) -> PairFolders:
    return PairFolders(name=target.name, target=target, draft=target, draft_name=target.name, heads=())


def leading_with(free_bytes: int | None) -> Any:
    ranks = (RankState(rank=0, host="a"), RankState(rank=1, host="b.local", free_bytes=free_bytes))
    state = GroupState(stage="forming", message="", backend="ring", ranks=ranks)
    return SimpleNamespace(state=lambda: state)


def test_a_rank_without_room_for_its_part_is_named(target: ModelFolder) -> None:
    half = target.weights_bytes // 2
    check_room(leading_with(half), folders_of(target), None, HALVES)
    check_room(leading_with(None), folders_of(target), None, HALVES)
    with pytest.raises(DoesNotFitError, match=r"b\.local \(rank 1\) has .* left, and its part of target needs"):
        check_room(leading_with(half - 1), folders_of(target), None, HALVES)


def test_rank_0_has_its_share_and_all_of_the_draft(target: ModelFolder) -> None:
    room = room_of(target, target)
    assert room is not None
    own = own_room(room, target, Share(0.25))
    assert own.weights_bytes == room.weights_bytes - int(0.75 * target.weights_bytes)
    short = replace(own, available_bytes=own.needed_bytes - 1)
    with pytest.raises(DoesNotFitError, match="25% and all of the draft are held here"):
        check_room(leading_with(None), folders_of(target), short, [Share(0.25), Share(0.75)])
