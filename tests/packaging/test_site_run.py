"""What the pages have a reader type is run, on a tiny pair in the place of every model that they name.

Not what takes minutes, a second machine, the Hub or a server that stays: of those `test_site.py` says whether they are
commands at all.
"""

import json
import shlex
from pathlib import Path

import pytest

from mlx_spec.models import named
from tests.cli.calling import mlx_spec
from tests.cli.folders import pair_folders
from tests.packaging.test_site import ROOT, commands

RUN = (["generate"], ["chat"], ["run"], ["doctor"], ["models", "pairs"], ["models", "list"], ["service"])
ANSWERS = ("generate", "chat", "run")
NOT_RUNNING = 3


def runs(words: list[str]) -> bool:
    """Whether it is run here; not what is installed, nor what takes a head or a folder that the reader has made."""
    known = any(words[: len(names)] == names for names in RUN) and "eagle" not in words
    own_folder = words[0] not in ANSWERS and any(word.startswith("path/") for word in words)
    return known and "--help" not in words and words[:2] != ["service", "install"] and not own_folder


def lines() -> list[list[str]]:
    """Their words behind the program's name, each once."""
    found: list[list[str]] = []
    for _, line in commands():
        program, *words = shlex.split(line, comments=True)
        if program.endswith("mlx-spec") and words not in found and runs(words):
            found.append(words)
    return found


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return pair_folders(tmp_path_factory.mktemp("models"))


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: tuple[str, str]) -> Path:
    """A folder with what the pages speak of, and a home of its own; what was measured of the pair is measured once."""
    monkeypatch.setenv("LOOKAHEAD_HOME", str(Path(tiny[0]).parent / "home"))
    (tmp_path / "resources").symlink_to(ROOT / "resources")
    (tmp_path / "notes.txt").write_text("Say hello.\n", "utf-8")
    (tmp_path / "letter.eml").write_text("Subject: Hello\nContent-Type: text/plain\n\nSay hello.\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    find = named.find_folders
    monkeypatch.setattr(named, "find_folders", lambda target, draft, progress: find(*tiny, progress))
    return tmp_path


@pytest.mark.parametrize("words", lines(), ids=lambda words: " ".join(words)[:60])
def test_it_does_what_the_page_says(words: list[str], reader: Path) -> None:
    short = ["--max-tokens", "3"] if words[0] in ANSWERS else []
    done = mlx_spec(*words, *short, stdin="Hello.\n")
    assert done.returncode == (NOT_RUNNING if words == ["service", "status"] else 0), done.stderr
    if "--json" in words:
        assert isinstance(json.loads(done.stdout), dict)
    elif "--out" in words:
        told = json.loads((reader / "answers" / "results.json").read_text("utf-8"))
        assert told
    else:
        assert (done.stdout + done.stderr).strip()  # `models list` has nothing to list here, and says so


def test_most_of_them_are_run() -> None:
    assert {words[0] for words in lines()} >= {*ANSWERS, "doctor", "models", "service"}
