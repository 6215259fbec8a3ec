"""Which known pairs are offered to a machine, by its memory and its speed."""

import pytest

from mlx_spec.lookahead.theory import expected_speedup
from mlx_spec.models.pairs import PAIRS
from mlx_spec.models.room import COMFORTABLE
from mlx_spec.models.suggestions import Suggestion, named_size, suggest

GB = 10**9
ALL = list(PAIRS.values())


def offered(gigabytes: float, bandwidth: float | None = 400e9, *, drafts_pay: bool = True) -> list[Suggestion]:
    return suggest(ALL, int(gigabytes * GB), bandwidth, expected_speedup, drafts_pay=drafts_pay)


@pytest.mark.parametrize(
    ("name", "parameters", "gigabytes", "active"),
    [
        # So many parameters in so many bits, with the scales of their groups and all that stays in more bits.
        ("mlx-community/Qwen2.5-14B-Instruct-4bit", 14e9, 8.3, 1.0),
        ("mlx-community/gemma-3-270m-it-4bit", 270e6, 0.16, 1.0),
        ("mlx-community/SmolLM2-1.7B-Instruct", 1.7e9, 3.6, 1.0),
        ("mlx-community/Qwen3-Coder-30B-A3B-Instruct-4bit", 30e9, 17.9, 0.1),
        ("mlx-community/Mistral-7B-Instruct-v0.3-4bit", 7e9, 4.2, 1.0),
    ],
)
def test_names_tell_sizes(name: str, parameters: float, gigabytes: float, active: float) -> None:
    size = named_size(name)
    assert size is not None
    assert size.parameters == parameters
    assert size.weights_bytes == pytest.approx(gigabytes * GB, rel=0.05)
    assert size.step_bytes == pytest.approx(active * size.weights_bytes)


@pytest.mark.parametrize("name", ["mlx-community/phi-4-4bit", "starter draft", "org/8bit", ""])
def test_a_name_without_a_size_tells_none(name: str) -> None:
    assert named_size(name) is None


@pytest.mark.parametrize("gigabytes", [4, 6, 11, 16, 24, 48, 96, 400])
def test_all_fit_with_room_to_spare_and_no_target_is_offered_twice(gigabytes: int) -> None:
    found = offered(gigabytes)
    assert 1 <= len(found) <= 3
    assert all(one.needed_bytes <= COMFORTABLE * gigabytes * GB for one in found)
    assert all(one.needed_bytes > one.weights_bytes > 0 for one in found)
    assert len({one.pair.target for one in found}) == len(found)
    assert found[0].role == "largest"
    assert all("coder" in one.pair.name for one in found if one.role == "code")
    assert all(one.pair.kind == "same" and one.pair.verified for one in found)


def test_more_memory_brings_larger_targets_and_none_brings_none() -> None:
    sizes = [named_size(offered(gigabytes)[0].pair.target).parameters for gigabytes in (4, 11, 24, 96)]
    assert sizes == sorted(set(sizes))
    assert offered(0.5) == []
    assert [one.role for one in offered(11)] == ["largest", "code", "quick"]


def test_what_would_crawl_is_not_offered() -> None:
    slow = offered(96, 10e9)
    assert slow
    assert all(one.plain_rate >= 2 for one in slow)
    assert named_size(slow[0].pair.target).parameters < 10e9
    assert offered(96, 1e9) == [], "nothing at all, where nothing would do"


def test_speeds_are_the_memorys_and_the_theorems() -> None:
    one = offered(11)[0]
    target, draft = named_size(one.pair.target), named_size(one.pair.draft)
    assert one.plain_rate == pytest.approx(400e9 / target.step_bytes)
    share = draft.step_bytes / target.step_bytes
    best = max(expected_speedup(0.7, gamma, share) for gamma in range(1, 9))
    assert one.drafted_rate == pytest.approx(one.plain_rate * best)
    assert best > 1.5
    assert all(found.plain_rate is None and found.drafted_rate is None for found in offered(11, None))
    assert all(found.drafted_rate is None and found.plain_rate for found in offered(11, drafts_pay=False))
