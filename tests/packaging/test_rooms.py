"""The rooms of the engine stay rooms: few at the root, none crowded, no name said twice. Walls are import-linter's."""

import tomllib
from pathlib import Path

import pytest

import mlx_spec

ROOT = Path(mlx_spec.__file__).parent
TESTS = Path(__file__).parents[1]
FOLDERS = [ROOT, *sorted(path.parent for path in ROOT.rglob("*/__init__.py"))]
ROOT_ENTRIES, SIDE_BY_SIDE = 17, 20
# A wheel puts the resources inside the package.
NO_ROOMS = {"py.typed", "resources"}
# What stands at the root of the tests though it is no room of the engine, and rooms whose tests stand elsewhere.
OTHER_TESTS = {"app", "hub", "packaging", "prompt_files"}


def files(folder: Path) -> list[str]:
    return [path.stem for path in folder.glob("*.py") if not path.name.startswith("__")]


def test_the_root_shows_a_handful_of_subjects() -> None:
    shown = {path.name for path in ROOT.iterdir() if not path.name.startswith(("__", "."))}
    assert len(shown - NO_ROOMS) <= ROOT_ENTRIES


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_no_room_is_crowded_and_no_file_repeats_its_folder(folder: Path) -> None:
    names = files(folder)
    assert len(names) <= SIDE_BY_SIDE
    own = {folder.name, folder.name.removesuffix("s")}
    assert [name for name in names if own & {*name.split("_")}] == []


def test_the_tests_mirror_the_rooms() -> None:
    tests = {path.name for path in TESTS.iterdir() if (path / "__init__.py").is_file()}
    assert tests - OTHER_TESTS == {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()}


def test_the_walls_that_name_rooms_name_them_all() -> None:
    """A new room must not slip past a contract that lists those there were."""
    contracts = tomllib.loads((TESTS.parent / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    listed = next(set(one["source_modules"]) for one in contracts if one["name"] == "Only the commands know a terminal")
    rooms = {path.name.removesuffix(".py") for path in ROOT.iterdir() if not path.name.startswith(("__", "."))}
    assert listed == {f"mlx_spec.{name}" for name in rooms - NO_ROOMS - {"cli"}}
