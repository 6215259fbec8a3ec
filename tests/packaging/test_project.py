"""Promises of the checkout itself: pinned versions, walls, sizes, and documents that tell the truth."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LARGEST_FILE_BYTES = 20_000_000
# What the platform decides: both are pinned, each is installed on one system only.
PLATFORM_PACKAGES = {"mlx-metal", "mlx-cpu"}
IMPORTED_AS = {"PySide6": "pyside6-essentials", "torch": "torch", "gguf": "gguf"}


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines)


def requirements(*extras: str) -> list[Requirement]:
    groups = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    return [Requirement(line) for group in groups for line in group]


def tracked_files() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def closure(pending: list[Requirement]) -> Iterator[tuple[str, str]]:
    """Every installed (name, version) that the requirements need on this platform, transitively."""
    seen: set[tuple[str, str]] = set()
    while pending:
        requirement = pending.pop()
        for extra in ("", *requirement.extras):
            key = (canonicalize_name(requirement.name), extra)
            if key in seen:
                continue
            seen.add(key)
            found = importlib.metadata.distribution(requirement.name)
            yield key[0], found.version
            needed = [Requirement(line) for line in found.requires or ()]
            pending += [one for one in needed if one.marker is None or one.marker.evaluate({"extra": extra})]


class TestConstraints:
    def test_lines_are_plain_pins_sorted_once_each(self) -> None:
        lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*==[0-9][0-9a-z.]*", line)] == []
        assert len(constraints()) == len(lines)

    def test_everything_that_the_project_installs_is_pinned_to_what_runs_here(self) -> None:
        here = [one for one in requirements("dev") if one.marker is None or one.marker.evaluate()]
        pinned = constraints()
        wrong = {name: version for name, version in closure(here) if pinned.get(name) != version}
        assert wrong == {}

    def test_both_platforms_backends_follow_mlx(self) -> None:
        pinned = constraints()
        assert {pinned[name] for name in PLATFORM_PACKAGES} == {pinned["mlx"]}

    def test_pins_satisfy_pyproject(self) -> None:
        pinned = constraints()
        broken = [
            str(one) for one in requirements("dev") if not one.specifier.contains(pinned[canonicalize_name(one.name)])
        ]
        assert broken == []

    def test_pyside_stays_below_the_release_that_drops_none(self) -> None:
        """PySide6 6.12.0 on Python 3.11 loses a reference to None on every void call, and aborts after some 5,000."""
        (qt,) = (one for one in requirements() if canonicalize_name(one.name) == "pyside6-essentials")
        assert not qt.specifier.contains("6.12.0")
        assert Version(importlib.metadata.version("PySide6-Essentials")) < Version("6.12")


ASSIGNING = (ast.Assign, ast.AnnAssign)


def imported_modules(package: str) -> dict[str, set[str]]:
    """{top-level module: files that import it} of all the sources of a package, function bodies included."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in names:
                found.setdefault(name.partition(".")[0], set()).add(str(path.relative_to(ROOT)))
    return found


class TestWalls:
    def test_every_import_is_declared(self) -> None:
        declared = {canonicalize_name(one.name) for one in requirements("torch")}
        owners = importlib.metadata.packages_distributions()
        undeclared = {}
        for package in ("mlx_spec", "app", "prompt_files"):
            for module, files in imported_modules(package).items():
                if module in sys.stdlib_module_names or module in ("mlx_spec", "app", "prompt_files"):
                    continue
                names = {IMPORTED_AS.get(module, "")} | {canonicalize_name(name) for name in owners.get(module, ())}
                if not names & declared:
                    undeclared[module] = sorted(files)
        assert undeclared == {}

    def test_the_window_never_imports_mlx_or_the_engine(self) -> None:
        assert not {"mlx", "mlx_lm", "mlx_spec"} & imported_modules("app").keys()
        code = "import sys, app.window.workspace; print([m for m in sys.modules if m.split('.')[0].startswith('mlx')])"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"

    def test_no_module_holds_an_array(self) -> None:
        """What is not computed yet cannot be by any thread but that which made it: who imports first would be it."""
        holding = set()
        for path in (ROOT / "mlx_spec").rglob("*.py"):
            assigned = [
                node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ASSIGNING)
            ]
            for node in (inner for one in assigned if one.value is not None for inner in ast.walk(one.value)):
                if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(
                    ("mx.array", "mx.random", "mx.zeros")
                ):
                    holding.add((path.relative_to(ROOT).as_posix(), ast.unparse(node)))
        assert holding == set()

    def test_only_commands_and_programs_of_their_own_speak_to_a_terminal(self) -> None:
        """The rest of the engine tells by values, events and errors, and hears by arguments."""
        # A line for whoever started the server, or a group of them, and what its ranks say; the end of a process; a
        # program that starts another; one of its own.
        programs = {"server/serve.py", "server/ending.py", "machine/blas.py", "bench/paired/bursts.py"}
        programs |= {"server/group/supervising.py", "hosts/starting.py"}
        speaking = set()
        for path in (ROOT / "mlx_spec").rglob("*.py"):
            name = path.relative_to(ROOT / "mlx_spec").as_posix()
            if name.startswith("cli/") or name in programs:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute):
                    found = ast.unparse(node)
                else:
                    found = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
                if found in ("sys.argv", "sys.stdin", "sys.stdout", "sys.stderr", "sys.exit", "print", "input", "exit"):
                    speaking.add((name, found))
        assert speaking == set()

    def test_packaging_is_a_plain_folder(self) -> None:
        """A package or module of that name in the checkout would shadow the `packaging` that transformers imports."""
        assert not list((ROOT / "packaging").rglob("__init__.py"))
        assert not (ROOT / "packaging.py").exists()


class TestFiles:
    def test_no_tracked_file_is_large(self) -> None:
        large = {name: size for name in tracked_files() if (size := (ROOT / name).stat().st_size) > LARGEST_FILE_BYTES}
        assert large == {}

    def test_all_that_the_starter_brings_stays_small(self) -> None:
        files = [file for file in (ROOT / "resources" / "starter").rglob("*") if file.is_file()]
        assert sum(file.stat().st_size for file in files) <= LARGEST_FILE_BYTES

    def test_nothing_refers_to_places_outside_the_checkout(self) -> None:
        # Written in pieces, so that this file is not a finding.
        places = [b"../" + b"shared", b"/work/" + b"main", b"/work/" + b"shared"]
        guilty = []
        for name in tracked_files():
            content = (ROOT / name).read_bytes()
            guilty += [name for place in places if place in content]
        assert guilty == []

    def test_ci_and_scripts_are_executable(self) -> None:
        scripts = [".ci/run", "packaging/environment.sh", "packaging/release.sh"]
        assert [name for name in scripts if not (ROOT / name).stat().st_mode & 0o111] == []


class TestDocuments:
    @pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
    def test_make_commands_exist(self, name: str) -> None:
        text = (ROOT / name).read_text(encoding="utf-8")
        mentioned = set(re.findall(r"(?:^|`)make ([a-z]+)\b", text, flags=re.MULTILINE))
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
        assert mentioned
        assert mentioned <= targets

    def test_ci_runs_the_commands_that_people_are_told(self) -> None:
        ci = (ROOT / ".ci/run").read_text(encoding="utf-8")
        workflow = (ROOT / ".github/workflows/checks.yml").read_text(encoding="utf-8")
        for command in ("make check", "make test"):
            assert re.search(rf"^{command}$", ci, flags=re.MULTILINE)
            assert f"run: {command}\n" in workflow

    def test_the_licence_is_whole(self) -> None:
        text = (ROOT / "LICENSE").read_text(encoding="utf-8")
        assert "Apache License" in text
        assert "END OF TERMS AND CONDITIONS" in text

    @pytest.mark.parametrize("path", sorted((ROOT / "resources/prompts").glob("*")), ids=lambda path: path.name)
    def test_example_prompts_open_and_say_how_they_are_answered(self, path: Path) -> None:
        from prompt_files import read_prompt

        opened = read_prompt(path)
        assert opened.settings.title
        assert 0 < (opened.settings.max_tokens or 0) <= 512
        assert 0 <= (opened.settings.temperature if opened.settings.temperature is not None else -1) <= 1
        assert 20 < len(opened.text) < 1000
