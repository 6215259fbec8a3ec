"""The wheel works away from its checkout: its own copy of both packages, with the resources inside.

The new environment borrows the dependencies of this one through a path file. Path files of a folder that is reached so
are not read, so the checkout's editable install stays invisible to it.
"""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment with the wheel in it, used from a folder that is not the checkout."""

    bin: Path
    packages: Path
    elsewhere: Path

    def run(self, *command: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        program, *arguments = command
        done = subprocess.run(
            [str(self.bin / program), *arguments],
            cwd=self.elsewhere,
            env=environment | {"LOOKAHEAD_HOME": str(self.elsewhere / "home")},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("lookahead_spec-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed") / "Größe & Raum"  # as people have them
    folder.mkdir()
    new = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(new)], check=True, timeout=120)
    pip = [sys.executable, "-m", "pip", "--python", str(new / "bin/python"), "install", "--no-deps", "--no-index"]
    done = subprocess.run([*pip, str(wheel)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    (packages,) = new.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    return Installed(new / "bin", packages, elsewhere)


def test_the_wheel_holds_the_packages_and_the_resources_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"mlx_spec", "app", "prompt_files", "lookahead_spec-0.1.0.dist-info"}
    assert "mlx_spec/py.typed" in names
    assert "mlx_spec/machine/kernels/metal/row_partials.metal" in names
    assert "mlx_spec/resources/prompts/1-explain.prompt.md" in names
    assert any(name.startswith("mlx_spec/resources/LICENSES/") for name in names)
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert [name for name in names if "__pycache__" in name or name.endswith((".part", ".DS_Store"))] == []


def test_both_packages_come_from_the_new_environment(installed: Installed) -> None:
    told = installed.run("python", "-c", "import mlx_spec, app; print(mlx_spec.__file__); print(app.__file__)")
    assert told.splitlines() == [str(installed.packages / name / "__init__.py") for name in ("mlx_spec", "app")]


def test_the_doctor_finds_everything_inside(installed: Installed) -> None:
    found = json.loads(installed.run("mlx-spec", "doctor", "--json"))
    resources = installed.packages / "mlx_spec/resources"
    assert found["resources"]["path"] == str(resources)
    assert "1-explain.prompt.md" in found["resources"]["prompts"]
    assert found["starter_draft"]["folder"] == str(resources / "starter")
    assert found["starter_draft"]["found"]
    assert found["data_folder"]["path"] == str(installed.elsewhere / "home")
    assert found["ok"]


def test_the_window_finds_its_prompts_inside_the_engine(installed: Installed) -> None:
    code = "from app.prompts.examples import prompts_folder; print(prompts_folder())"
    assert installed.run("python", "-c", code).strip() == str(installed.packages / "mlx_spec/resources/prompts")


def test_the_windows_command_is_there(installed: Installed) -> None:
    assert "0.1.0" in installed.run("lookahead", "--version")
