"""What is in a folder: every file once, whatever links lead where."""

from pathlib import Path

import pytest

from prompt_files import folder
from prompt_files.folder import list_folder


def names(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in list_folder(root).files]


def test_files_below_it_in_order_without_the_hidden(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a/deep/er/x.txt", ".hidden", ".git/config"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("12345")
    assert names(tmp_path) == ["a/deep/er/x.txt", "a/z.txt", "b.txt"]
    assert list_folder(tmp_path).size_bytes == 15


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a" / "self")
    (tmp_path / "a" / "nowhere").symlink_to(tmp_path / "nothing")
    (tmp_path / "a" / "file").write_text("x")
    assert names(tmp_path) == ["a/file"]


def test_a_very_deep_folder(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(300):
        deep = deep / "a"
    deep.mkdir(parents=True)
    (deep / "b").write_text("x")
    assert len(names(tmp_path)) == 1


def test_too_many_files_are_told_not_cut_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_FILES", 3)
    for number in range(3):
        (tmp_path / str(number)).write_text("x")
    assert list_folder(tmp_path).is_whole
    (tmp_path / "3").write_text("x")
    assert not list_folder(tmp_path).is_whole


def test_nothing_there(tmp_path: Path) -> None:
    assert list_folder(tmp_path).files == ()
    assert list_folder(tmp_path / "gone").files == ()
