"""What passes cost, width by width."""

from collections import Counter
from types import SimpleNamespace

import pytest

from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.measuring import pass_times
from mlx_spec.decoding.measuring.pass_times import measure
from mlx_spec.models.loading import ModelPair
from tests.tiny import pair_of, tiny_pair


@pytest.fixture
def pair() -> ModelPair:
    return tiny_pair(0)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other programs take nothing of the machine, as far as these tests go."""
    monkeypatch.setattr(pass_times, "Disturbance", lambda: SimpleNamespace(read=lambda: 0.0))


def silent(stage: str, fraction: float) -> None: ...


def test_every_width_is_measured(pair: ModelPair, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = dict(enumerate([40.0, 50, 58, 64, 68, 70, 72, 73, 81, 95, 101, 107, 108, 108, 110, 76], start=1))
    monkeypatch.setattr(pass_times, "pass_ms", lambda model, width, forgets=True: steps[width])
    assert measure(pair_of(pair.target, None), range(1, 17), silent).verify_ms == tuple(steps.values())
    monkeypatch.undo()
    calibration = measure(pair, range(1, 10), silent)
    assert len(calibration.verify_ms) == 9
    assert calibration.draft_step_ms > 0
    assert measure(pair_of(pair.target, None), range(1, 5), silent).draft_step_ms == 0


def test_what_was_not_measured_costs_what_it_can_be_padded_to(pair: ModelPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pass_times, "pass_ms", lambda model, width, forgets=True: 10.0 + width)
    assert measure(pair_of(pair.target, None), (1, 2, 6), silent).verify_ms == (11.0, 12.0, 16.0, 16.0, 16.0, 16.0)


def test_of_each_width_the_fastest_pass_counts(pair: ModelPair, monkeypatch: pytest.MonkeyPatch) -> None:
    times = {width: iter([900.0, 900.0, 50.0 + width, 70.0, 10.0 * width + 60, 80.0, 90.0]) for width in (1, 2)}
    monkeypatch.setattr(pass_times, "pass_ms", lambda model, width, forgets=True: next(times[width], 100.0))
    assert measure(pair_of(pair.target, None), (1, 2), silent).verify_ms == (51.0, 52.0)


def test_a_busy_machine_is_measured_for_longer_and_told(pair: ModelPair, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = Counter[int]()

    def counted(model: CachedModel, width: int, *, forgets: bool = True) -> float:
        passes[width] += 1
        return 10.0 + width

    monkeypatch.setattr(pass_times, "pass_ms", counted)
    alone = pair_of(pair.target, None)
    assert not measure(alone, (1, 2, 3), silent).doubtful
    quiet = passes.copy()
    passes.clear()
    monkeypatch.setattr(pass_times, "Disturbance", lambda: SimpleNamespace(read=lambda: 0.4))
    busy = measure(alone, (1, 2, 3), silent)
    assert (busy.doubtful, busy.disturbance) == (True, 0.4)
    assert passes[3] > quiet[3]


def test_wide_passes_that_cost_as_much_a_token_are_not_waited_for(
    pair: ModelPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths = []

    def proportional(model: CachedModel, width: int, *, forgets: bool = True) -> float:
        widths.append(width)
        return 10.0 * width

    monkeypatch.setattr(pass_times, "pass_ms", proportional)
    calibration = measure(pair_of(pair.target, None), range(1, 10), silent)
    assert max(widths) == 3
    assert calibration.verify_ms == pytest.approx([10.0 * width for width in range(1, 10)])
