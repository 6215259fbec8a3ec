"""The paired benches as a person calls them, with processes and servers that are real and models that are tiny."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from mlx_spec.bench.paired.chat_client import ChatClient
from mlx_spec.bench.paired.models import ModelChoice
from mlx_spec.bench.paired.own_server import own_server
from mlx_spec.bench.prompts import prompts_of
from mlx_spec.errors import LookaheadError, ServerError
from tests.cli.calling import mlx_spec
from tests.cli.folders import long_pair_folders, pair_folders


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelChoice:
    return ModelChoice(*pair_folders(tmp_path_factory.mktemp("models")))


SMALL = ["--prompts", "1", "--answer-tokens", "8"]


@pytest.mark.slow
def test_cold_processes_are_compared_kept_and_shown_again(models: ModelChoice, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    done = mlx_spec("bench", "--cold", *models.arguments(), *SMALL, "--out", str(out), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report == json.loads(out.read_text())
    assert [run["side"] for run in report["runs"]] == ["auto", "none"]
    assert all(run["wall_seconds"] > run["seconds"] > 0 for run in report["runs"])
    assert report["summary"]["sameness"] == [{"temperature": 0.0, "same": 1, "blocks": 1}]
    assert report["conditions"]["calibrated"]
    assert report["complete"]
    shown = mlx_spec("bench", "--show", str(out))
    assert shown.returncode == 0, shown.stderr
    assert "the same ids at temperature 0: 1 of 1 answers" in shown.stdout


def test_a_disturbed_run_leaves_nobody_behind(models: ModelChoice) -> None:
    before = set(psutil.Process().children(recursive=True))
    done = mlx_spec("bench", "--disturbed", *models.arguments(), *SMALL, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert sorted(run["side"] for run in report["runs"]) == ["auto", "auto, disturbed", "plain", "plain, disturbed"]
    assert report["summary"]["differences"] == []
    assert set(psutil.Process().children(recursive=True)) == before


@pytest.mark.slow
def test_our_server_beside_another_of_ours_says_the_same_words(models: ModelChoice) -> None:
    with own_server(models) as (url, pid):
        done = mlx_spec("bench", "--beside", url, *models.arguments(), *SMALL, "--json")
        assert done.returncode == 0, done.stderr
        with ChatClient(url) as client:
            assert client.post("/v1/tokenize", {"text": "four"})["num_tokens"] > 0
    assert not psutil.pid_exists(pid)
    report = json.loads(done.stdout)
    assert [run["side"] for run in report["runs"]] == ["ours", "theirs"]
    assert report["runs"][0]["text"] == report["runs"][1]["text"] != ""
    assert report["conditions"]["beside"]["address"] == url
    assert "key" not in json.dumps(report["conditions"])


@pytest.fixture(scope="module")
def long_models(tmp_path_factory: pytest.TempPathFactory) -> ModelChoice:
    """With room for a chat, and tokens in which it is not four times as long as it is to anybody."""
    text = prompts_of("long")[0].text
    return ModelChoice(*long_pair_folders(tmp_path_factory.mktemp("long"), text))


@pytest.mark.slow
def test_turns_find_the_chat_again_and_say_the_same(long_models: ModelChoice, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    done = mlx_spec("bench", "--turns", *long_models.arguments(), *SMALL, "--out", str(out), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report == json.loads(out.read_text())
    known = {(run["side"], run["turn"]): run["cached_tokens"] / run["prompt_tokens"] for run in report["runs"]}
    assert min(known["prefixes", turn] for turn in (2, 3)) > 0.95
    assert {known["prefixes", 1], *(known["cold", turn] for turn in (1, 2, 3))} == {0}
    assert report["summary"]["sameness"] == [{"temperature": 0.0, "same": 3, "blocks": 3}]
    assert report["complete"]
    shown = mlx_spec("bench", "--show", str(out))
    assert shown.returncode == 0, shown.stderr
    assert "the same ids at temperature 0: 3 of 3 answers" in shown.stdout
    assert "1 chats of 3 turns" in shown.stdout


def test_a_chat_that_the_context_does_not_hold_is_one_sentence(models: ModelChoice) -> None:
    done = mlx_spec("bench", "--turns", *models.arguments(), *SMALL)
    assert done.returncode == 2
    assert "No chat fits: it takes" in done.stderr.splitlines()[-1]
    assert done.stdout == ""


@pytest.mark.slow
def test_turns_of_our_server_beside_another_of_ours(long_models: ModelChoice) -> None:
    with own_server(long_models) as (url, pid):
        done = mlx_spec("bench", "--turns", "--url", url, *long_models.arguments(), *SMALL, "--json")
        assert done.returncode == 0, done.stderr
    assert not psutil.pid_exists(pid)
    report = json.loads(done.stdout)
    assert sorted((run["turn"], run["side"]) for run in report["runs"]) == [
        (turn, side) for turn in (1, 2, 3) for side in ("ours", "theirs")
    ]
    assert report["summary"]["sameness"] == [{"temperature": 0.0, "same": 3, "blocks": 3}]
    assert report["conditions"]["beside"]["address"] == url
    assert report["mode"] == "turns-beside"


@pytest.mark.slow
def test_our_server_and_mlx_lms_are_asked_two_things_at_once(long_models: ModelChoice, tmp_path: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    out, checkout = tmp_path / "report.json", Path(__file__).parents[4]
    options = ["--at-once", "2,9", "--repeats", "1", "--past-end", "--beside", str(checkout), "--out", str(out)]
    done = mlx_spec("bench", "--serve", *long_models.arguments(), *SMALL, *options, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report == json.loads(out.read_text())
    assert [(run["at_once"], run["side"]) for run in report["runs"]] == [
        *((2, side) for side in ("ours", "before", "theirs")),
        *((9, side) for side in ("plain", "ours")),
    ]
    answers = [answer for run in report["runs"] for wave in run["waves"] for answer in wave]
    assert {answer["tokens"] for answer in answers} == {8}, "nobody ends before"
    assert [one["words"]["same"] for one in report["summary"]["figures"] if one["side"] == "ours"] == [2, 9]
    assert {one["side"]: one["late"]["error"] for one in report["arrivals"]} == {"ours": None, "theirs": None}
    assert report["summary"]["failures"] == []
    assert set(psutil.Process().children(recursive=True)) == before
    shown = mlx_spec("bench", "--show", str(out))
    assert shown.returncode == 0, shown.stderr
    assert "a long prompt among four writers" in shown.stdout


def test_a_mistyped_option_waits_for_no_library_that_is_slow_to_import() -> None:
    code = (
        "import atexit, sys; from mlx_spec.cli import main as cli; "
        "sys.argv = ['mlx-spec', 'bench', '--cold', '--prompts', '0']; "
        "atexit.register(lambda: print(sorted({'mlx', 'numpy', 'httpx2'} & sys.modules.keys()))); cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "[]\n"), done
    assert "prompts is 0" in done.stderr


@pytest.mark.slow
def test_models_that_are_not_there_are_one_sentence(models: ModelChoice) -> None:
    nowhere = ["--target", "/nowhere/model", *SMALL]
    done = mlx_spec("bench", "--cold", *nowhere)
    assert done.returncode == 2
    assert "A process of the measurement failed: There is no model folder /nowhere/model." in done.stderr
    with pytest.raises(LookaheadError, match="There is no model folder"), own_server(ModelChoice("/nowhere/model")):
        pass


def test_a_server_of_ours_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelChoice, "arguments", lambda self: ["--port", "99999"])
    with pytest.raises(ServerError, match="Our own server does not start: Cannot listen on"), own_server(ModelChoice()):
        pass
