"""Whether answers go over blocks is measured once for a model on a machine, and does not change with the clock."""

from pathlib import Path
from typing import Any

import mlx.nn as nn
import pytest

import mlx_spec.decoding.cache.kept_choice as keeping
from mlx_spec.decoding.cache import over_blocks
from mlx_spec.decoding.cache.kept_choice import choose_blocks
from mlx_spec.decoding.cache.paged_choice import PagedChoice
from mlx_spec.decoding.measuring import calibration
from mlx_spec.errors import UnsupportedModelError
from tests.tiny import pair_of, tiny_llama
from tests.zoo import zoo_model

FASTER = PagedChoice(((1, 500, 1.1), (1, 3000, 0.6), (6, 3000, 0.7)))


class Measured:
    """What the measurement finds, and what others take of the machine meanwhile."""

    def __init__(self) -> None:
        self.choice, self.share, self.times = FASTER, 0.0, 0

    def __call__(self, model: nn.Module, name: str, block_tokens: int, tell: Any) -> PagedChoice:
        self.times += 1
        return self.choice

    def read(self) -> float:
        return self.share


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    measured = Measured()
    monkeypatch.setattr(keeping, "measure_paged", measured)
    monkeypatch.setattr(keeping, "Disturbance", lambda: measured)
    monkeypatch.setattr(keeping, "rows_are_independent", lambda: False)
    return measured


def silent(stage: str, fraction: float) -> None: ...


def test_it_is_measured_once_and_kept(measured: Measured, lookahead_home: Path) -> None:
    first, again = tiny_llama(0), tiny_llama(0)
    assert not over_blocks.pays(first, 3000)
    assert choose_blocks(first, "tiny", silent) == FASTER
    measured.choice, measured.share = PagedChoice(((1, 500, 0.1),)), 0.9  # what it would find now
    assert choose_blocks(again, "tiny", silent) == FASTER
    assert measured.times == 1
    for model in (first, again):
        assert [over_blocks.pays(model, length) for length in (500, 3000)] == [False, True]
    choose_blocks(tiny_llama(0), "another", silent)
    assert measured.times == 2
    assert len(list((lookahead_home / "blocks").iterdir())) == 2, "a file for each"


def test_what_was_measured_beside_others_is_not_kept_and_counts_for_nothing(measured: Measured) -> None:
    model = tiny_llama(0)
    measured.share = 0.4
    for times in (1, 2):
        assert choose_blocks(model, "tiny", silent) == PagedChoice()
        assert measured.times == times
        assert not over_blocks.pays(model, 3000)
    measured.share = 0.01
    choose_blocks(model, "tiny", silent)
    assert over_blocks.pays(model, 3000)


def test_some_machines_are_always_busy(measured: Measured) -> None:
    measured.share = 0.4
    for _ in range(9):
        assert choose_blocks(tiny_llama(0), "tiny", silent) == PagedChoice()
    assert measured.times == 4


def test_a_calibration_that_is_renewed_renews_nothing_of_it(
    measured: Measured, lookahead_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = pair_of(tiny_llama(0), None)
    for width in (2, 3):
        calibration.calibrated(pair, range(1, width + 1), silent)
    for file in (lookahead_home / "calibration").iterdir():
        file.write_text("{")
    calibration.calibrated(pair, (1, 2), silent)
    assert measured.times == 1
    assert over_blocks.pays(pair.target, 3000)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"blocks_over_own": [[1, 500, -1]]}', '{"blocks_over_own": 3}'])
def test_what_makes_no_sense_is_measured_again(content: str, measured: Measured, lookahead_home: Path) -> None:
    choose_blocks(tiny_llama(0), "tiny", silent)
    (file,) = (lookahead_home / "blocks").iterdir()
    file.write_text(content)
    assert choose_blocks(tiny_llama(0), "tiny", silent) == FASTER
    assert measured.times == 2


def test_a_model_that_does_not_go_over_blocks_is_not_tried_at_every_start(
    measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured.choice = PagedChoice()
    choose_blocks(tiny_llama(0), "tiny", silent)
    monkeypatch.setattr(keeping, "blocks_agree", lambda _: pytest.fail("tried again"))
    assert choose_blocks(tiny_llama(0), "tiny", silent) == PagedChoice()
    assert measured.times == 1


def test_what_was_kept_of_a_model_that_does_not_go_over_blocks_now_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping, "blocks_agree", lambda _: False)
    model = tiny_llama(0)
    choose_blocks(model, "tiny", silent)
    assert not over_blocks.pays(model, 3000)


def test_a_model_that_can_only_be_decoded_plainly_has_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> PagedChoice:
        raise UnsupportedModelError("not this one")

    monkeypatch.setattr(keeping, "measure_paged", refused)
    assert choose_blocks(tiny_llama(0), "tiny", silent) == PagedChoice()


@pytest.mark.parametrize("why", ["rows are independent", "fewer bits", "windows"])
def test_where_it_is_not_even_measured(why: str, measured: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    model = zoo_model("gemma3" if why == "windows" else "llama")
    monkeypatch.setattr(keeping, "rows_are_independent", lambda: why == "rows are independent")
    assert choose_blocks(model, "tiny", silent, 8 if why == "fewer bits" else None) == PagedChoice()
    assert measured.times == 0
    assert not over_blocks.pays(model, 3000)
