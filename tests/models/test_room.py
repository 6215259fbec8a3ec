"""Models that do not fit are loaded only by who says so."""

import sys
from pathlib import Path

import mlx.core as mx
import pytest
from typer.testing import CliRunner

from mlx_spec.cli import main as cli
from mlx_spec.cli.terminal import consent
from mlx_spec.errors import DoesNotFitError
from mlx_spec.models import room
from mlx_spec.models.loading import load_pair
from mlx_spec.models.memory import weights_bytes
from tests.models.text.sentences import one_sentence

ASK = ["generate", "the", "--draft", "none", "--max-tokens", "3"]


@pytest.fixture
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with half a megabyte."""
    monkeypatch.setattr(room, "available_bytes", lambda: 500_000)
    monkeypatch.setenv("LOOKAHEAD_BLAS", "off")  # cli.main would begin this process again


def test_what_the_pair_takes_was_expected(folder: Path) -> None:
    pair = load_pair(str(folder), str(folder))
    assert pair.room is not None
    assert pair.draft is not None
    assert pair.room.weights_bytes == pytest.approx(weights_bytes(pair.target) + weights_bytes(pair.draft), rel=0.02)
    assert pair.room.context_tokens == 256
    # Two models of 2 layers with 2 heads of 16, keys and values in four bytes.
    assert pair.room.cache_bytes == 2 * 2 * 2 * 2 * 16 * 4 * 256


@pytest.mark.usefixtures("small_machine")
def test_what_does_not_fit_is_not_loaded_and_says_how_to_insist(folder: Path) -> None:
    before = mx.get_active_memory()
    with pytest.raises(DoesNotFitError) as caught:
        load_pair(str(folder), anyway=False)
    assert mx.get_active_memory() - before < 100_000
    message = one_sentence(caught.value)
    assert "0.5 MB" in message or "500.0 kB" in message
    assert "--anyway" in message
    assert caught.value.needed_bytes > caught.value.available_bytes == 500_000
    assert load_pair(str(folder), anyway=True).room is not None


@pytest.mark.usefixtures("small_machine")
class TestCommandLine:
    def test_a_script_is_refused_with_one_line(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["mlx-spec", *ASK, "--target", str(folder)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert caught.value.code == 2
        told = capsys.readouterr().err.strip().splitlines()[-1]
        assert told.startswith("mlx-spec: ")
        assert told.endswith("--anyway loads it all the same.")

    def test_with_anyway_it_answers(self, folder: Path) -> None:
        done = CliRunner().invoke(cli.app, [*ASK, "--target", str(folder), "--anyway"])
        assert done.exit_code == 0, done.output

    def test_many_prompts_are_refused_before_any_weights_are_read(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("the")
        asked = [
            "run",
            str(tmp_path / "a.txt"),
            "--target",
            str(folder),
            "--draft",
            "none",
            "--max-tokens",
            "3",
            "--out",
        ]
        refused = CliRunner().invoke(cli.app, [*asked, str(tmp_path / "one"), "--json"])
        assert "--anyway loads it all the same" in refused.output
        done = CliRunner().invoke(cli.app, [*asked, str(tmp_path / "two"), "--anyway"])
        assert done.exit_code == 0, done.output

    @pytest.mark.parametrize(
        "asked",
        [
            ["bench", "--contenders", "plain", "--target"],
            ["models", "try"],
            ["train", "draft", "--out", "draft", "--target"],
            ["train", "sample", "--corpus", "corpus", "--target"],
            ["train", "narrow", "--draft", "draft", "--corpus", "corpus", "--target"],
            ["train", "eagle", "--out", "head", "--target"],
            ["train", "states", "--out", "head", "--target"],
            ["train", "medusa", "--out", "head", "--target"],
        ],
    )
    def test_so_are_measuring_and_training(
        self,
        asked: list[str],
        folder: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        before = set(tmp_path.iterdir())
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["mlx-spec", *asked, str(folder)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert caught.value.code == 2
        assert "does not fit on this machine" in capsys.readouterr().err
        assert set(tmp_path.iterdir()) == before, "nothing was begun"

    @pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1)])
    def test_a_person_is_asked(self, answer: str, code: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(consent, "_is_asked", lambda: True)
        done = CliRunner().invoke(cli.app, [*ASK, "--target", str(folder)], input=answer)
        assert done.exit_code == code, done.output
        assert "does not fit on this machine" in done.stderr
        assert "Load it?" in done.stderr
