"""Which way a target is split, by words and by what the machines have free; and who has no room for its part."""

from dataclasses import replace
from pathlib import Path

import pytest

from mlx_spec.errors import DoesNotFitError
from mlx_spec.hosts.group import RankState, Share
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.named import PairFolders
from mlx_spec.models.room import room_of
from mlx_spec.models.splitting.ways import SplitWays, ways_of
from mlx_spec.server.group.choice import check_room, chosen, own_room, rooms_of, shares_of
from tests.cli.folders import save_folder
from tests.tiny import tiny_llama

HALVES = [Share(0.5), Share(0.5)]
LOOPBACK = "127.0.0.1"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """Eight layers of four heads, in two groups."""
    return ModelFolder.at(Path(save_folder(tiny_llama(0, layers=8), tmp_path_factory.mktemp("model") / "target")))


def ranks_with(*free_bytes: int | None, host: str = "b.local") -> list[RankState]:
    hosts = ["a.local", *[host] * (len(free_bytes) - 1)]
    return [RankState(rank=rank, host=hosts[rank], free_bytes=free) for rank, free in enumerate(free_bytes)]


def ways_for(target: ModelFolder, ranks: list[RankState]) -> tuple[SplitWays, list[float] | None]:
    rooms = rooms_of(ranks, None, target)
    return ways_of(target, len(ranks), rooms), rooms


def test_the_way_that_is_asked_for_or_the_one_that_is_there(target: ModelFolder) -> None:
    ways = ways_of(target, 2)
    assert chosen(ways, "auto", "auto").way == "tensor"
    assert chosen(ways, "auto", "fast").exactness == "fast"
    split = chosen(ways, "pipeline", "strict")
    assert (split.way, split.layers) == ("pipeline", (4, 4))
    assert [one.layers for one in shares_of(ways, split)] == [(4, 8), (0, 4)]


def test_one_machines_words_go_before_those_that_are_not(target: ModelFolder) -> None:
    ways = ways_of(target, 2)
    ways = replace(ways, tensor_strict=replace(ways.tensor_strict, same_as="alone"))
    assert chosen(ways, "auto", "auto").way == "pipeline"
    assert chosen(ways, "auto", "auto", [1.0, 1.0]).way == "pipeline"  # whatever is free
    assert chosen(ways, "tensor", "auto").way == "tensor"
    assert chosen(ways, "auto", "fast").way == "tensor"
    alone = replace(ways, pipeline=replace(ways.pipeline, why_not="No."))
    assert chosen(alone, "auto", "auto").way == "tensor"


def test_machines_of_unequal_memory_get_layers_by_it(target: ModelFolder) -> None:
    whole = target.weights_bytes
    ranks = ranks_with(whole, whole // 3)
    ways, rooms = ways_for(target, ranks)
    split = chosen(ways, "auto", "auto", rooms)
    assert split.way == "pipeline"  # as half of each layer does not fit into a third
    shares = shares_of(ways, split)
    assert split.layers is not None
    assert split.layers[0] > split.layers[1]
    assert shares[1].part < 1 / 3
    folders = PairFolders(name=target.name, target=target, draft=None, draft_name=None, heads=())
    check_room(ranks, folders, None, shares)
    with pytest.raises(DoesNotFitError, match=r"b\.local \(rank 1\)"):
        check_room(ranks, folders, None, shares_of(ways, chosen(ways, "tensor", "auto")))
    ways, rooms = ways_for(target, ranks_with(whole, whole))
    assert chosen(ways, "auto", "auto", rooms).way == "tensor"


def test_ranks_of_one_machine_share_what_it_has_free_and_the_draft_is_taken_off(target: ModelFolder) -> None:
    assert rooms_of(ranks_with(1200, 600), None, target) == [1200, 600]
    assert rooms_of(ranks_with(1200, 1200, 1200, host=LOOPBACK), None, target) == [400] * 3
    assert rooms_of(ranks_with(1200, None), None, target) is None
    alone, paired = room_of(target), room_of(target, target)
    assert alone is not None
    assert paired is not None
    left = [rooms_of(ranks_with(1, 1200), replace(one, available_bytes=10**9), target) for one in (alone, paired)]
    assert left[0] is not None
    assert left[1] is not None
    assert left[0][0] - left[1][0] > target.weights_bytes / 2
    assert left[0][1] < 1200  # keys and values stand beside


def folders_of(target: ModelFolder) -> PairFolders:
    return PairFolders(name=target.name, target=target, draft=target, draft_name=target.name, heads=())


def test_a_rank_without_room_for_its_part_is_named(target: ModelFolder) -> None:
    half = target.weights_bytes // 2
    check_room(ranks_with(1, half), folders_of(target), None, HALVES)
    check_room(ranks_with(1, None), folders_of(target), None, HALVES)
    with pytest.raises(DoesNotFitError, match=r"b\.local \(rank 1\) has .* left, and its part of target needs"):
        check_room(ranks_with(1, half - 1), folders_of(target), None, HALVES)
    on_one = ranks_with(2 * half, 2 * half, host=LOOPBACK)
    check_room(on_one, folders_of(target), None, HALVES)
    with pytest.raises(DoesNotFitError, match="rank 1"):
        check_room([replace(one, free_bytes=2 * half - 2) for one in on_one], folders_of(target), None, HALVES)


def test_rank_0_has_its_share_and_all_of_the_draft_beside_others_of_its_machine(target: ModelFolder) -> None:
    room = room_of(target, target)
    assert room is not None
    shares = [Share(0.25), Share(0.75)]
    own = own_room(room, target, shares[0])
    assert own.weights_bytes == room.weights_bytes - int(0.75 * target.weights_bytes)
    enough = replace(own, available_bytes=own.needed_bytes)
    check_room(ranks_with(None, None), folders_of(target), enough, shares)
    short = replace(own, available_bytes=own.needed_bytes - 1)
    with pytest.raises(DoesNotFitError, match="25% and all of the draft are held here"):
        check_room(ranks_with(None, None), folders_of(target), short, shares)
    with pytest.raises(DoesNotFitError, match="25% and all of the draft are held here"):
        check_room(ranks_with(None, None, host=LOOPBACK), folders_of(target), enough, shares)
