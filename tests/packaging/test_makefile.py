"""The Makefile and its environment script: what they would do, in an empty copy and with stand-in tools."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INPUTS = ("Makefile", "pyproject.toml", "constraints.txt")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the Makefile looks at, without an environment."""
    folder = tmp_path / "Größe & Raum"
    folder.mkdir()
    for name in INPUTS:
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "packaging", folder / "packaging")
    return folder


def make(checkout: Path, *arguments: str) -> str:
    """What make prints. The make that runs these tests must not make it a sub-make, with its flags and its remarks."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PYTEST"))}
    done = subprocess.run(["make", *arguments], cwd=checkout, env=outside, capture_output=True, text=True, check=True)
    return done.stdout


def planned(checkout: Path, target: str) -> str:
    """The commands that `make target` would run."""
    return make(checkout, "-n", target)


def install(checkout: Path, *kinds: str) -> None:
    """Leave the stamps of a finished installation, newer than everything."""
    (checkout / ".venv").mkdir()
    later = time.time() + 5
    for kind in kinds:
        stamp = checkout / ".venv" / f".installed-{kind}"
        stamp.touch()
        os.utime(stamp, (later, later))


class TestStamps:
    @pytest.mark.parametrize("target", ["run", "test", "check", "bench", "screenshots", "bundle"])
    def test_a_fresh_checkout_installs_first(self, checkout: Path, target: str) -> None:
        first = planned(checkout, target).splitlines()[0]
        assert first == "sh packaging/environment.sh run"

    @pytest.mark.parametrize("target", ["run", "bench"])
    def test_running_needs_no_development_tools(self, checkout: Path, target: str) -> None:
        assert "environment.sh dev" not in planned(checkout, target)

    @pytest.mark.parametrize("target", ["run", "test", "check", "bench"])
    def test_a_second_run_installs_nothing(self, checkout: Path, target: str) -> None:
        install(checkout, "run", "dev")
        assert "environment.sh" not in planned(checkout, target)

    @pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
    def test_changed_dependencies_install_again(self, checkout: Path, changed: str) -> None:
        install(checkout, "run", "dev")
        much_later = time.time() + 60
        os.utime(checkout / changed, (much_later, much_later))
        assert "environment.sh run" in planned(checkout, "run")
        assert "environment.sh dev" in planned(checkout, "test")

    def test_help_names_every_target(self, checkout: Path) -> None:
        told = make(checkout)
        for target in ("run", "test", "check", "bench", "screenshots", "bundle", "clean"):
            assert f"make {target} " in told


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder to be the whole PATH: a few real tools, and none of python, uv, apt-get."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "grep", "cut"):
        (folder / name).symlink_to(str(shutil.which(name)))
    stand_in(folder, "uname", "echo Linux")
    stand_in(folder, "id", "echo 1000")
    return folder


def stand_in(tools: Path, name: str, script: str) -> None:
    path = tools / name
    path.write_text(f"#!{shutil.which('sh')}\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def environment(checkout: Path, tools: Path, kind: str) -> subprocess.CompletedProcess[str]:
    command = [str(shutil.which("sh")), "packaging/environment.sh", kind]
    return subprocess.run(
        command, cwd=checkout, env={"PATH": str(tools)}, capture_output=True, text=True, check=False, timeout=60
    )


class TestEnvironmentScript:
    @pytest.mark.parametrize("kind", ["run", "dev"])
    def test_a_system_without_mlx_is_told_in_one_line(self, checkout: Path, tools: Path, kind: str) -> None:
        stand_in(tools, "uname", "echo FreeBSD")
        done = environment(checkout, tools, kind)
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert "Apple silicon Macs and on Linux, and this system is FreeBSD" in line
        assert not (checkout / ".venv").exists()

    def test_without_a_fitting_python_it_says_in_one_line_what_to_install(self, checkout: Path, tools: Path) -> None:
        stand_in(tools, "python3", "exit 1")  # one that is too old answers so
        done = environment(checkout, tools, "run")
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert "Python 3.11 or newer" in line
        assert "brew install" in line

    def test_an_old_python_gives_way_to_uv(self, checkout: Path, tools: Path) -> None:
        stand_in(tools, "python3", "exit 1")
        stand_in(tools, "uv", f'echo "uv $*" >> {tools}/called; exit 9')
        done = environment(checkout, tools, "run")
        assert done.returncode == 9
        assert (tools / "called").read_text(encoding="utf-8") == "uv venv --seed --clear --python 3.12 .venv\n"

    def test_a_python_without_venv_is_told_in_one_line(self, checkout: Path, tools: Path) -> None:
        stand_in(tools, "python3", 'case "$2" in *ensurepip*) exit 1;; esac; [ "$1" != -m ] || exit 1; echo 3.11')
        done = environment(checkout, tools, "run")
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert "python3-venv" in line

    def test_who_is_not_root_gets_advice_and_goes_on(self, checkout: Path, tools: Path) -> None:
        stand_in(tools, "dpkg", "exit 1")
        stand_in(tools, "apt-get", f"echo called >> {tools}/called")
        done = environment(checkout, tools, "fonts")
        assert done.returncode == 0
        (line,) = done.stdout.splitlines()
        assert "sudo apt-get install fonts-noto-core" in line
        assert not (tools / "called").exists()

    def test_root_installs_only_what_is_missing(self, checkout: Path, tools: Path) -> None:
        installed = "case $2 in fonts-noto-cjk*) ;; *) echo 'Status: install ok installed';; esac"
        stand_in(tools, "dpkg", installed)
        stand_in(tools, "id", "echo 0")
        stand_in(tools, "apt-get", f'echo "$*" >> {tools}/called')
        assert environment(checkout, tools, "fonts").returncode == 0
        update, install_line = (tools / "called").read_text(encoding="utf-8").splitlines()
        assert update.startswith("update")
        assert install_line.endswith(" fonts-noto-cjk")
        assert "fonts-noto-core" not in install_line

    def test_a_library_under_its_newer_name_is_not_missing(self, checkout: Path, tools: Path) -> None:
        stand_in(tools, "dpkg", "case $2 in *t64) echo 'Status: install ok installed';; esac")
        stand_in(tools, "apt-get", "exit 100")
        assert environment(checkout, tools, "fonts").stdout == ""

    def test_nothing_missing_means_apt_is_not_called(self, checkout: Path, tools: Path) -> None:
        stand_in(tools, "dpkg", "echo 'Status: install ok installed'")
        stand_in(tools, "id", "echo 0")
        stand_in(tools, "apt-get", f"echo called >> {tools}/called")
        assert environment(checkout, tools, "fonts").returncode == 0
        assert not (tools / "called").exists()

    def test_a_network_that_is_away_does_not_stop_the_rest(self, checkout: Path, tools: Path) -> None:
        stand_in(tools, "dpkg", "exit 1")
        stand_in(tools, "id", "echo 0")
        stand_in(tools, "apt-get", "exit 100")
        done = environment(checkout, tools, "fonts")
        assert done.returncode == 0
        assert "going on without" in done.stdout
