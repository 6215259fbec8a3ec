"""The rooms of the window stay rooms: few at the root, none crowded, no name said twice. Walls are import-linter's."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import app

ROOT = Path(app.__file__).parent
FOLDERS = [ROOT, *sorted(path.parent for path in ROOT.rglob("*/__init__.py"))]
ROOT_ENTRIES, SIDE_BY_SIDE = 15, 20


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


def imported(folder: Path) -> Iterator[tuple[str, str]]:
    """Each file below `folder`, relative to the root, with what it imports: modules, and names out of PySide6."""
    for path in sorted(folder.rglob("*.py")):
        place = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                yield place, node.module
                yield from ((place, f"{node.module}.{name.name}") for name in node.names)
            elif isinstance(node, ast.Import):
                yield from ((place, name.name) for name in node.names)


def test_only_the_engines_room_knows_the_network() -> None:
    # In `window` a local socket tells a second start of the program to the first.
    users = {place for place, module in imported(ROOT) if module.startswith("PySide6.QtNetwork")}
    # The feed of newer versions, `upkeep`'s, comes from elsewhere, and only where somebody agreed to it.
    others = {"window/single_instance.py", "upkeep/fetching.py"}
    assert {place for place in users if not place.startswith("engine/")} <= others


def test_the_engines_room_draws_nothing() -> None:
    drawing = ("PySide6.QtWidgets", "PySide6.QtGui")
    assert [place for place, module in imported(ROOT / "engine") if module.startswith(drawing)] == []


@pytest.mark.parametrize("subject", ["chat", "first_run", "machines", "models", "prompts", "speculation"])
def test_view_models_know_nothing_of_what_is_drawn(subject: str) -> None:
    drawn = ("app.look", "app.render", "PySide6.QtWidgets", "PySide6.QtGui")
    found = [
        module for place, module in imported(ROOT / subject) if "/views/" not in place and module.startswith(drawn)
    ]
    assert [module for module in found if not module.startswith("app.look.resources")] == []
