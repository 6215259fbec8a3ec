"""Answers go over blocks where that was measured to take less time, decided by their prompt alone."""

from typing import Any

import numpy as np
import pytest

import mlx_spec.decoding.cache.paged_choice as choosing
from mlx_spec.decoding.cache.paged_choice import PagedChoice, measure_paged, paged_choice_of
from tests.tiny import tiny_llama
from tests.zoo import zoo_model

RATIOS = ((1, 300, 1.2), (6, 300, 1.1), (1, 4000, 0.6), (6, 4000, 0.8))


def test_the_worst_number_of_rows_decides_and_contexts_are_a_line() -> None:
    choice = PagedChoice(RATIOS)
    contexts = (1, 300, 1500, 2100, 2600, 2620, 90_000)
    # Between 1.2, of one row behind 300 tokens, and 0.8, of six behind 4,000, there is 0.95 at 2,612.
    assert [choice.pays(context) for context in contexts] == [False, False, False, False, False, True, True]
    assert choice.ever_pays
    assert not PagedChoice(RATIOS[:3]).pays(1500)
    assert not PagedChoice(((1, 300, 0.5), (6, 300, 1.1))).ever_pays
    assert not PagedChoice().pays(4000)
    assert not PagedChoice(((1, 300, 0.96),)).pays(300)
    assert PagedChoice(((1, 300, 0.95),)).pays(300)


@pytest.mark.parametrize("kept", [None, 3, "x", [[1]], [[1, 60, 0]], [[1, 60, "fast"]], [[1, 60, 1e9]]])
def test_what_makes_no_sense_on_disk_chooses_nothing(kept: object) -> None:
    assert paged_choice_of(kept) == PagedChoice()
    assert paged_choice_of(PagedChoice(RATIOS).kept()) == PagedChoice(RATIOS)


@pytest.mark.parametrize("name", ["llama", "gemma3", "falcon_h1"])
def test_both_ways_are_timed_over_the_same_context(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They say the same; by a clock of the test's the second takes half as long."""
    monkeypatch.setattr(choosing, "_CONTEXTS", (30, 90))
    real, seen = choosing._timed, []

    def timed(ways: Any, rows: int) -> tuple[list[float], list[float]]:
        own, over_blocks = (way(rows) for way in ways)
        assert len(own) == rows
        np.testing.assert_allclose(np.array(own), np.array(over_blocks), rtol=1e-3, atol=1e-3)
        measured = real(ways, rows)
        assert [len(times) for times in measured] == [choosing._REPEATS] * 2
        assert min(map(min, measured)) > 0
        seen.append(rows)
        return [2.0, 3.0], [1.0, 9.0]

    monkeypatch.setattr(choosing, "_timed", timed)
    told: list[float] = []
    choice = measure_paged(zoo_model(name), name, 16, tell=lambda _, fraction: told.append(fraction))
    assert choice.ratios == ((1, 30, 0.5), (6, 30, 0.5), (1, 90, 0.5), (6, 90, 0.5))
    assert told == [0.0, 0.25, 0.5, 0.75]
    assert seen == [1, 6, 1, 6]


def test_where_blocks_are_slower_already_no_other_number_of_rows_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_CONTEXTS", (30, 90))
    times = iter([([1.0], [0.96]), ([1.0], [0.9]), ([1.0], [2.0])])
    monkeypatch.setattr(choosing, "_timed", lambda ways, rows: next(times))
    assert measure_paged(tiny_llama(0), "tiny", 16).ratios == ((1, 30, 0.96), (1, 90, 0.9), (6, 90, 2.0))


def test_models_that_keep_their_own_caches_have_no_choice() -> None:
    assert measure_paged(zoo_model("gemma2"), "gemma2", 16) == PagedChoice()
