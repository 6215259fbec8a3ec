"""What drafters have shown is kept for the next process: rates and times, never words, and never trusted blindly."""

import json
from pathlib import Path

import pytest

from mlx_spec import SamplingParams, SpeculativeDecoder
from mlx_spec.events import GenerationFinished
from mlx_spec.lookahead.experience import Experience, ExperienceFile, shipped_with
from mlx_spec.models.named import STARTER
from tests.tiny import tiny_pair

SOME = Experience(
    {"eagle/0": ((0.5, 1.0, 3.0), (0.25, 0.5, 1.0)), "ngram/2": ((0.9, 1.0, 16.0),)}, {"eagle": (0.05, 0.001)}
)


def test_it_is_kept_apart_by_pair_and_temperature(lookahead_home: Path) -> None:
    file = ExperienceFile("target", "draft")
    assert file.read(greedy=True) == Experience()
    file.write(SOME, greedy=True)
    assert ExperienceFile("target", "draft").read(greedy=True) == SOME
    assert file.read(greedy=False) == ExperienceFile("target", None).read(greedy=True) == Experience()
    file.write(Experience(), greedy=False)
    assert file.read(greedy=True) == SOME


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        '{"greedy": 3}',
        '{"greedy": {"accepted": {}}}',
        '{"greedy": {"accepted": {"eagle/0": [[1.5, 1, 1]]}, "draft_steps": {}}}',
        '{"greedy": {"accepted": {"eagle/0": [[0.5, 1]]}, "draft_steps": {}}}',
        '{"greedy": {"accepted": {"eagle": []}, "draft_steps": {}}}',
        '{"greedy": {"accepted": {"eagle/x": []}, "draft_steps": {}}}',
    ],
)
def test_what_makes_no_sense_is_as_if_nothing_was_kept(lookahead_home: Path, content: str) -> None:
    file = ExperienceFile("target", "draft")
    file.write(SOME, greedy=True)
    (path,) = (lookahead_home / "experience").iterdir()
    path.write_text(content)
    assert file.read(greedy=True) == Experience()
    file.write(SOME, greedy=True)
    assert file.read(greedy=True) == SOME


def test_a_folder_that_cannot_be_written_is_no_obstacle(lookahead_home: Path) -> None:
    (lookahead_home / "experience").write_text("in the way")
    file = ExperienceFile("target", "draft")
    file.write(SOME, greedy=True)
    assert file.read(greedy=True) == Experience()


def test_what_was_shipped_counts_until_something_was_learnt_here(lookahead_home: Path, tmp_path: Path) -> None:
    shipped = tmp_path / "experience.json"
    shipped.write_text(json.dumps({"greedy": {"accepted": {"eagle/0": [[0.5, 1, 8]]}, "draft_steps": {}}}))
    file = ExperienceFile("target", "draft", shipped=shipped)
    assert file.read(greedy=True).accepted == {"eagle/0": ((0.5, 1.0, 8.0),)}
    file.write(Experience(), greedy=False)
    assert file.read(greedy=True).accepted, "an answer at one temperature tells nothing of the other"
    file.write(SOME, greedy=True)
    assert file.read(greedy=True) == SOME


def test_the_starter_pair_comes_with_what_its_drafts_have_shown() -> None:
    path = shipped_with(STARTER)
    assert path is not None
    assert shipped_with("SmolLM2-135M-Instruct") is None
    for greedy in (True, False):
        known = ExperienceFile("nobody's target", "nor draft", shipped=path).read(greedy=greedy)
        assert {"eagle/0", "model/0"} <= set(known.accepted)
        assert all(0.2 < known.accepted[name][0][0] < 0.8 for name in ("eagle/0", "model/0"))
        assert known.draft_steps == {}, "times are this machine's own"


def test_a_decoder_keeps_what_its_answers_show_once_it_was_calibrated(lookahead_home: Path) -> None:
    pair = tiny_pair(0)
    file = ExperienceFile(pair.target_name, pair.draft_name)
    for params in (SamplingParams(temperature=0.0), SamplingParams(temperature=0.9, seed=1)):
        list(SpeculativeDecoder(pair).stream([1, 2, 3], params, 40))
        assert file.read(greedy=params.greedy) == Experience()
    decoder = SpeculativeDecoder(pair)
    decoder.calibrate()
    *_, end = decoder.stream([1, 2, 3], SamplingParams(temperature=0.0), 40)
    assert isinstance(end, GenerationFinished)
    learnt = file.read(greedy=True)
    assert set(learnt.accepted) <= {f"{name}/{trust}" for name in ("model", "ngram") for trust in range(4)}
    assert learnt.draft_steps["model"][0] > 0
    text = (lookahead_home / "experience").iterdir().__next__().read_text()
    assert "token" not in text
