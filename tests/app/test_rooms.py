"""The rooms of the window stay rooms: few at the root, none crowded, no name said twice. Walls are import-linter's."""

from pathlib import Path

import pytest

import app

ROOT = Path(app.__file__).parent
FOLDERS = [ROOT, *sorted(path.parent for path in ROOT.rglob("*/__init__.py"))]
ROOT_ENTRIES, SIDE_BY_SIDE = 12, 20


def entries(folder: Path) -> list[str]:
    """What stands in `folder`, its own `__init__.py` left out."""
    return [path.stem for path in folder.iterdir() if not path.name.startswith(("__", "."))]


def test_the_root_shows_a_handful_of_subjects() -> None:
    assert len(entries(ROOT)) <= ROOT_ENTRIES


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_no_room_is_crowded_and_no_file_repeats_its_folder(folder: Path) -> None:
    names = entries(folder)
    assert len(names) <= SIDE_BY_SIDE
    own = {folder.name, folder.name.removesuffix("s")}
    assert [name for name in names if own & {*name.split("_")}] == []


def test_the_tests_mirror_the_rooms() -> None:
    tests = {path.name for path in Path(__file__).parent.iterdir() if (path / "__init__.py").is_file()}
    assert tests == {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()}
