"""Where the engine's own files and its user's files lie."""

import sys
from pathlib import Path

import pytest

from mlx_spec.errors import LookaheadError, StorageError
from mlx_spec.machine import resources
from mlx_spec.machine.resources import data_folder, resources_folder
from tests.models.text.sentences import one_sentence


def package_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "__file__", str(folder / "mlx_spec" / "machine" / "resources.py"))


def make(folder: Path) -> Path:
    (folder / "LICENSES").mkdir(parents=True)
    return folder


def test_the_checkouts_own() -> None:
    assert (resources_folder() / "LICENSES" / "Apache-2.0.txt").is_file()


def test_an_installed_wheel_prefers_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package_at(tmp_path, monkeypatch)
    (tmp_path / "resources").mkdir()  # another project's
    expected = make(tmp_path / "mlx_spec" / "resources")
    assert resources_folder() == expected


@pytest.mark.parametrize("inside", ["mlx_spec/resources", "resources"])
def test_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str) -> None:
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path), raising=False)
    expected = make(tmp_path / inside)
    assert resources_folder() == expected


def test_an_installation_that_lost_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package_at(tmp_path, monkeypatch)
    with pytest.raises(LookaheadError) as caught:
        resources_folder()
    assert "install Lookahead again" in one_sentence(caught.value)


def test_the_data_folder_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKAHEAD_HOME", str(tmp_path / "a" / "b"))
    assert data_folder() == tmp_path / "a" / "b"
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_without_the_variable_the_platform_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOOKAHEAD_HOME")
    monkeypatch.setattr(resources.platformdirs, "user_data_dir", lambda name, appauthor: str(tmp_path / name))
    assert data_folder() == tmp_path / "Lookahead"


def test_a_folder_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(**options: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(resources.tempfile, "TemporaryFile", read_only)
    with pytest.raises(StorageError) as caught:
        data_folder()
    message = one_sentence(caught.value)
    assert "read-only file system" in message
    assert "LOOKAHEAD_HOME" in message
