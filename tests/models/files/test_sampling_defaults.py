"""What `generation_config.json` recommends."""

import json
from pathlib import Path

import pytest

from mlx_spec.models.folder import ModelFolder


@pytest.mark.parametrize(
    ("said", "own"),
    [
        ({"do_sample": True, "temperature": 0.6, "top_p": 0.9}, {"temperature": 0.6, "top_p": 0.9}),
        (
            {"top_k": 20, "min_p": 0.05, "repetition_penalty": 1.05},
            {"top_k": 20, "min_p": 0.05, "repetition_penalty": 1.05},
        ),
        ({"do_sample": False, "temperature": 0.7}, {"temperature": 0.0}),
        ({"eos_token_id": 2, "bos_token_id": 1}, {}),
        ({"temperature": None, "top_p": 0, "top_k": -1, "min_p": "much", "repetition_penalty": True}, {}),
        ({"temperature": float("nan")}, {}),
        ([], {}),
    ],
)
def test_values_that_a_request_could_have_are_the_models_own(tmp_path: Path, said: object, own: object) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps(said))
    assert ModelFolder.at(tmp_path).sampling == own


def test_no_file_and_a_damaged_one_recommend_nothing(tmp_path: Path) -> None:
    assert ModelFolder.at(tmp_path).sampling == {}
    (tmp_path / "generation_config.json").write_bytes(b"\xff{")
    assert ModelFolder.at(tmp_path).sampling == {}
