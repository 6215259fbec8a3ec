"""What passes cost is measured once, kept, and never trusted blindly."""

import json
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import pytest

import mlx_spec.decoding.measuring.calibration as calibrating
from mlx_spec import SpeculativeDecoder
from mlx_spec.decoding.measuring import pass_times
from mlx_spec.decoding.measuring.calibration import calibrated, stored
from mlx_spec.decoding.target import Target
from mlx_spec.lookahead.costs import Calibration
from mlx_spec.models.loading import ModelPair
from tests.tiny import pair_of, tiny_llama, tiny_pair


@pytest.fixture
def pair() -> ModelPair:
    return tiny_pair(0)


@pytest.fixture(autouse=True)
def others(monkeypatch: pytest.MonkeyPatch) -> "Others":
    """What other programs take of the machine, as far as this test goes."""
    others = Others()
    for measuring in (pass_times, calibrating):
        monkeypatch.setattr(measuring, "Disturbance", lambda: others)
    monkeypatch.setattr(calibrating, "choose_blocks", lambda *_: None)  # tests/decoding/cache/test_kept_choice.py
    return others


@dataclass
class Others:
    share: float = 0.0

    def read(self) -> float:
        return self.share


def silent(stage: str, fraction: float) -> None: ...


def test_the_passes_are_those_that_decoding_will_make(
    pair: ModelPair, lookahead_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that their graphs are there for it: none is built in the first rounds of an answer."""
    monkeypatch.setattr("mlx_spec.lookahead.useful_widths._PROPORTIONAL", 1e9)  # however slow a tiny model is
    decoder = SpeculativeDecoder(pair)
    decoder.calibrate()
    target = Target(pair.target, pair.target_name, speculative=True)
    target.prefill([1, 2, 3])
    for width in range(1, 10):
        target.score(4, mx.array([5] * (width - 1), dtype=mx.int32) if width > 1 else None)
        assert not target.built_anew
        target.commit([])


def test_what_was_measured_on_a_busy_machine_is_measured_again_until_it_is_quiet(
    pair: ModelPair, others: Others, lookahead_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others.share = 0.4
    assert calibrated(pair, (1, 2, 3), silent).disturbance == 0.4
    others.share = 0.5  # no better: the first stays, and is still doubted
    assert calibrated(pair, (1, 2, 3), silent).disturbance == 0.4
    others.share = 0.01
    assert calibrated(pair, (1, 2, 3), silent).disturbance == 0.01
    others.share = 0.9
    assert calibrated(pair, (1, 2, 3), silent).disturbance == 0.01, "what was taken in quiet is believed"
    other = pair_of(pair.target, None)
    stages: list[str] = []
    for _ in range(6):
        stages.clear()
        calibrated(other, (1, 2, 3), lambda stage, _: stages.append(stage))
    assert set(stages) == {"checking the speed of a step"}, "some machines are always busy"


def test_it_is_kept_and_scaled_to_todays_plain_step(
    pair: ModelPair, lookahead_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: list[str] = []
    first = calibrated(pair, range(1, 10), lambda stage, _: stages.append(stage))
    assert set(stages) == {"comparing two ways of making a pass", "measuring the speed of passes"}
    stages.clear()
    monkeypatch.setattr(calibrating, "plain_step_ms", lambda *_, **__: 2 * first.plain_step_ms)
    again = calibrated(pair, range(1, 10), lambda stage, _: stages.append(stage))
    assert stages == ["checking the speed of a step"]
    assert again.verify_ms == pytest.approx([2 * ms for ms in first.verify_ms])
    assert again.draft_step_ms == pytest.approx(2 * first.draft_step_ms)
    assert len(list((lookahead_home / "calibration").iterdir())) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"verify_ms": [1, 2]}', '{"verify_ms": [-1]}', "null"])
def test_what_makes_no_sense_is_measured_again(pair: ModelPair, lookahead_home: Path, content: str) -> None:
    calibrated(pair, (1, 2, 3), silent)
    (file,) = (lookahead_home / "calibration").iterdir()
    file.write_text(content)
    assert len(calibrated(pair, (1, 2, 3), silent).verify_ms) == 3
    assert len(json.loads(file.read_text())["verify_ms"]) == 3


def test_other_models_and_widths_are_kept_apart(pair: ModelPair, lookahead_home: Path) -> None:
    for width in (3, 4):
        calibrated(pair, range(1, width + 1), silent)
    calibrated(pair_of(pair.target, None), (1, 2, 3), silent)
    assert len(list((lookahead_home / "calibration").iterdir())) == 3


def test_passes_over_keys_and_values_in_fewer_bits_are_kept_apart(lookahead_home: Path) -> None:
    pair = pair_of(tiny_llama(0, hidden=128), None)
    full = calibrated(pair, (1, 2), silent)
    for bits in (8, 4):
        calibrated(pair, (1, 2), silent, kv_bits=bits)
    files = list((lookahead_home / "calibration").iterdir())
    assert sorted(str(json.loads(file.read_text())["kv_bits"]) for file in files) == ["4", "8", "None"]
    assert stored(pair.target_name, None) == full, "the newest of those that are as ever"


def test_what_was_kept_before_there_were_fewer_bits_still_counts(pair: ModelPair, lookahead_home: Path) -> None:
    kept = calibrated(pair, (1, 2, 3), silent)
    (file,) = (lookahead_home / "calibration").iterdir()
    file.write_text(json.dumps({name: one for name, one in json.loads(file.read_text()).items() if name != "kv_bits"}))
    assert stored(pair.target_name, pair.draft_name) == kept


def test_what_is_kept_is_found_by_its_names_without_the_models(pair: ModelPair, lookahead_home: Path) -> None:
    assert stored(pair.target_name, pair.draft_name) is None
    kept = calibrated(pair, (1, 2, 3), silent)
    assert stored(pair.target_name, pair.draft_name) == kept
    assert stored(pair.target_name, None) is None
    (file,) = (lookahead_home / "calibration").iterdir()
    for content in ("{", "[]", json.dumps(json.loads(file.read_text()) | {"mlx": "0.0"})):
        file.write_text(content)
        assert stored(pair.target_name, pair.draft_name) is None


def test_a_folder_that_cannot_be_written_is_no_obstacle(
    pair: ModelPair, lookahead_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lookahead_home / "calibration").write_text("in the way")
    assert SpeculativeDecoder(pair).calibrate().plain_step_ms > 0


def test_the_decoder_plans_with_it(pair: ModelPair, lookahead_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dear = Calibration(tuple(1e5 * width for width in range(1, 10)), 15.0)
    monkeypatch.setattr("mlx_spec.decoding.knowledge.calibrated", lambda *_: dear)
    decoder = SpeculativeDecoder(pair)
    decoder.calibrate()
    assert decoder.stats().plain_step_ms == 1e5
    *_, end = decoder.stream([1, 2, 3], max_tokens=2)
    # The second pass has told that steps are cheaper now; the first had its graph built, and tells nothing.
    assert 0 < end.stats.plain_step_ms < 1e5


def test_wide_passes_are_measured_once(pair: ModelPair, lookahead_home: Path) -> None:
    decoder = SpeculativeDecoder(pair)
    decoder.calibrate()
    shared = decoder._knowledge.shared()
    assert shared.passes.widest < 48
    assert len(list(decoder.measure_wide())) > 10
    assert shared.passes.widest == 48
    again = SpeculativeDecoder(pair)
    again.calibrate()
    assert list(again.measure_wide()) == [], "it was kept"
    assert again._knowledge.shared().passes.widest == 48


def test_wide_passes_of_a_machine_that_is_never_quiet_are_measured_again(
    pair: ModelPair, lookahead_home: Path, others: Others
) -> None:
    """One of three times what it takes makes wide passes dear for every answer to come."""
    others.share = 0.9
    busy = SpeculativeDecoder(pair)
    busy.calibrate()
    steps = len(list(busy.measure_wide()))
    assert busy._knowledge.shared().passes.widest == 48, "they serve for now"
    others.share = 0.0
    quiet = SpeculativeDecoder(pair)
    quiet.calibrate()
    assert 0 < len(list(quiet.measure_wide())) < steps
    assert list(SpeculativeDecoder(pair).measure_wide()) == []
