"""`.ci/run`: when it builds the app, and when not."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone of a small project with this `.ci/run`; `make` writes down what it is told, and what it proved."""
    folder = tmp_path / "clone"
    for name in ("packaging/part.sh", "pyproject.toml", "constraints.txt", "README.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, "utf-8")
    for name in (".ci/run", "packaging/inputs.sh"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (tmp_path / "bin").mkdir()
    make = tmp_path / "bin" / "make"
    proves = '[ "$*" != bundle ] || sh packaging/inputs.sh >packaging/proven'
    make.write_text(f'#!/bin/sh\necho "$*" >>"$LOG"\n[ "$*" != "${{FAIL:-}}" ] || exit 1\n{proves}\n', "utf-8")
    make.chmod(0o755)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    return folder


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


def run(clone: Path, **more: str) -> list[str]:
    """What make was told by one run, and at the end the run's exit code."""
    log = clone.parent / "log"
    log.unlink(missing_ok=True)
    own = {"PATH": f"{clone.parent / 'bin'}:{os.environ['PATH']}", "HOME": str(clone.parent), "LOG": str(log)}
    done = subprocess.run(["bash", ".ci/run"], cwd=clone, env=own | more, check=False, timeout=60)
    return [*log.read_text("utf-8").splitlines(), str(done.returncode)]


def test_the_app_is_built_once_for_each_content(clone: Path) -> None:
    assert run(clone) == ["check", "test", "bundle", "0"], "nothing was proven yet"
    assert run(clone) == ["check", "test", "0"]
    (clone / "README.md").write_text("other words", "utf-8")
    git(clone, "add", "-A")  # and with it what was proven
    assert run(clone) == ["check", "test", "0"]
    for name in ("packaging/part.sh", "pyproject.toml", "constraints.txt"):
        (clone / name).write_text("changed", "utf-8")
        git(clone, "add", "-A")
        assert run(clone) == ["check", "test", "bundle", "0"], name
    assert run(clone) == ["check", "test", "0"]


def test_what_linters_read_of_pyproject_builds_nothing(clone: Path) -> None:
    project = clone / "pyproject.toml"
    decides, linted = '[project]\ndependencies = ["a"]\n', "[[tool.importlinter.contracts]]\nlayers = []\n"
    project.write_text(f"{decides}[tool.ruff]\n{linted}", "utf-8")
    assert run(clone) == ["check", "test", "bundle", "0"]
    project.write_text(f"{decides}[tool.ruff.lint]\nselect = []\n[tool.mypy]\n{linted}", "utf-8")
    assert run(clone) == ["check", "test", "0"]
    for changed in (decides.replace('"a"', '"b"'), f"{decides}[tool.hatch.build]\nx = 1\n"):
        project.write_text(f"{linted}{changed}", "utf-8")
        assert run(clone) == ["check", "test", "bundle", "0"], changed


def test_an_app_that_was_not_proven_is_built_again(clone: Path) -> None:
    assert run(clone, FAIL="bundle") == ["check", "test", "bundle", "1"]
    assert run(clone) == ["check", "test", "bundle", "0"]


def test_what_fails_before_it_ends_the_run(clone: Path) -> None:
    assert run(clone, FAIL="test") == ["check", "test", "1"]
