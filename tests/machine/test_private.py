"""Private files are whole or not there, and nobody else may read them."""

import os
import stat
from pathlib import Path

import pytest

from mlx_spec.machine import private
from mlx_spec.machine.private import files_in, is_part, make_private, read_private, write_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_modes_do_not_follow_the_umask(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "folder"
    before = os.umask(umask)
    try:
        make_private(folder)
        write_private(folder / "file", b"secret")
    finally:
        os.umask(before)
    assert (mode(folder), mode(folder / "file")) == (0o700, 0o600)
    assert read_private(folder / "file") == b"secret"


def test_a_file_is_replaced_whole_also_one_that_others_could_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o644)
    before = path.open("rb")
    write_private(path, b"new")
    with before:
        assert before.read() == b"old"
    assert (read_private(path), mode(path)) == (b"new", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_private(path, b"old")
    seen: list[bool] = []

    def fails(handle: int) -> None:
        seen.extend(is_part(entry.name) for entry in tmp_path.iterdir() if entry != path)
        raise OSError("no")

    monkeypatch.setattr(private.os, "fsync", fails)
    with pytest.raises(OSError, match="no"):
        write_private(path, b"new")
    assert read_private(path) == b"old"
    assert list(tmp_path.iterdir()) == [path]
    assert seen == [True], "half a file is known by its name"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"secret")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        read_private(link)
    write_private(link, b"mine")
    assert (tmp_path / "elsewhere").read_bytes() == b"secret"
    assert not link.is_symlink()
    link.unlink()
    link.symlink_to(tmp_path / "elsewhere")
    assert [entry.name for entry in files_in(tmp_path)] == ["elsewhere"]
    assert list(files_in(tmp_path / "no folder")) == []
