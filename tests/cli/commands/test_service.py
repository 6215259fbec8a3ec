"""`mlx-spec service`: what it writes for launchd and systemd, what it has them do, and what it tells."""

import json
import os
import plistlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from mlx_spec.cli.commands.service import agent, app
from mlx_spec.cli.commands.service.agent import Agent, Service, kept_environment
from mlx_spec.cli.commands.service.launchd import LABEL, LaunchAgent
from mlx_spec.cli.commands.service.systemd import UNIT, UserUnit
from mlx_spec.errors import LookaheadError, ServerError
from tests.cli.calling import mlx_spec

ODD = Service(
    (
        "/Users/Ä Ö/Look ahead/mlx-spec",
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        "8765",
        "--target",
        '50% of "it" $HOME\\',
    ),
    {"LOOKAHEAD_API_KEY": "a b%c"},
)
KINDS = pytest.mark.parametrize("kind", [LaunchAgent, UserUnit])


class System:
    """Stands in for launchctl and systemctl: remembers what they were asked, and answers by what they are asked."""

    def __init__(self, **answers: tuple[int, str]) -> None:
        self.asked: list[str] = []
        self._answers = answers

    def __call__(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        self.asked.append(" ".join(command))
        verb = next((word for word in command if word in self._answers), None)
        code, said = self._answers[verb] if verb else (0, "")
        return subprocess.CompletedProcess(command, code, said, said if code else "")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose path is odd; no test asks the real launchd or systemd."""
    folder = tmp_path / "Zuhause ä"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return folder


@KINDS
def test_what_is_written_is_read_back_word_by_word(kind: type[Agent], home: Path) -> None:
    service = kind(home, System())
    service.install(ODD)
    assert service.command() == list(ODD.command)
    assert service.path.stat().st_mode & 0o777 == 0o600, "it may hold a key"


def test_launchd_gets_a_property_list(home: Path) -> None:
    told = plistlib.loads(LaunchAgent(home).text(ODD))
    assert (told["Label"], told["RunAtLoad"], told["KeepAlive"]) == (LABEL, True, {"SuccessfulExit": False})
    assert told["ProgramArguments"] == list(ODD.command)
    assert told["EnvironmentVariables"] == dict(ODD.environment)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_itself_finds_nothing_to_complain_of(home: Path) -> None:
    service = UserUnit(home, System())
    service.install(Service((sys.executable, *ODD.command[1:]), ODD.environment))
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(service.path)],
        env=os.environ | {"XDG_RUNTIME_DIR": str(home)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert [line for line in done.stderr.splitlines() if UNIT in line] == []


@pytest.mark.parametrize(
    ("kind", "first", "again", "removed"),
    [
        (
            LaunchAgent,
            ["launchctl bootstrap gui/UID FILE"],
            ["launchctl bootout gui/UID/LABEL", "launchctl bootstrap gui/UID FILE"],
            ["launchctl bootout gui/UID/LABEL"],
        ),
        (
            UserUnit,
            ["systemctl --user daemon-reload", f"systemctl --user enable --now {UNIT}"],
            [
                f"systemctl --user disable --now {UNIT}",
                "systemctl --user daemon-reload",
                f"systemctl --user enable --now {UNIT}",
            ],
            [f"systemctl --user disable --now {UNIT}"],
        ),
    ],
)
def test_installed_installed_anew_and_removed(
    kind: type[Agent], first: list[str], again: list[str], removed: list[str], home: Path
) -> None:
    system = System()
    service = kind(home, system)

    def asked() -> list[str]:
        told = [line.replace(str(service.path), "FILE").replace(LABEL, "LABEL") for line in system.asked]
        system.asked.clear()
        return [line.replace(f"gui/{os.getuid()}", "gui/UID") for line in told]

    service.install(ODD)
    assert asked() == first
    service.install(ODD)
    assert asked() == again
    assert service.uninstall()
    assert asked() == removed
    assert not service.path.exists()
    assert not service.uninstall()
    assert asked() == [], "what is not installed is nobody's"


@pytest.mark.parametrize(("kind", "verb"), [(LaunchAgent, "bootstrap"), (UserUnit, "enable")])
def test_a_system_that_does_not_start_it(kind: type[Agent], verb: str, home: Path) -> None:
    service = kind(home, System(**{verb: (1, "Failed to connect to bus: No medium found")}))
    with pytest.raises(ServerError) as caught:
        service.install(ODD)
    assert "No medium found" in str(caught.value)
    assert str(service.path) in str(caught.value)
    assert service.path.exists(), "so that the next log-in finds it"


def test_running_is_what_the_system_says(home: Path) -> None:
    assert LaunchAgent(home, System(print=(0, "\tstate = running\n"))).is_running()
    assert not LaunchAgent(home, System(print=(0, "\tstate = waiting\n"))).is_running()
    assert not LaunchAgent(home, System(print=(113, "Could not find service"))).is_running()
    assert not UserUnit(home, System(**{"is-active": (3, "")})).is_running()


def test_a_key_and_the_folders_go_along_and_nothing_else() -> None:
    given = {"LOOKAHEAD_API_KEY": "k", "LOOKAHEAD_HOME": "/x", "HF_ENDPOINT": "", "PATH": "/bin", "AWS_SECRET": "s"}
    assert kept_environment(given) == {"LOOKAHEAD_HOME": "/x", "LOOKAHEAD_API_KEY": "k"}


class TestCommand:
    @pytest.fixture(autouse=True)
    def system(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> System:
        """This machine's systemd, played."""
        system = System()
        monkeypatch.setattr(app, "agent_here", lambda: UserUnit(home, system))
        return system

    def test_install_status_uninstall(self, system: System) -> None:
        done = mlx_spec("service", "install", "--port", "9", "--max-batch", "4")
        assert (done.returncode, done.stderr) == (0, "")
        assert "http://127.0.0.1:9/v1" in done.stdout
        told = json.loads(mlx_spec("service", "status", "--json").stdout)
        assert told["installed"]
        assert (told["url"], told["health"]) == ("http://127.0.0.1:9/v1", "no answer"), "nobody listens at port 9"
        words = app.agent_here().command()
        assert words[-6:] == ["--host", "127.0.0.1", "--port", "9", "--max-batch", "4"]
        assert words[0] == sys.executable
        assert mlx_spec("service", "uninstall").returncode == 0
        gone = mlx_spec("service", "status")
        assert (gone.returncode, "No service is installed" in gone.stdout) == (app.NOT_RUNNING, True)

    def test_options_that_serve_does_not_know_install_nothing(self, system: System) -> None:
        done = mlx_spec("service", "install", "--bogus")
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert "--bogus" in done.stderr
        assert system.asked == []

    def test_a_file_of_somebody_else_is_told_without_an_address(self) -> None:
        path = app.agent_here().path
        path.parent.mkdir(parents=True)
        path.write_text('[Service]\nExecStart="unfinished\n')
        assert "The service runs" in mlx_spec("service", "status").stdout


@pytest.mark.parametrize("place", ["/Volumes/Lookahead/Lookahead.app/x", "/private/var/AppTranslocation/1/d/x"])
def test_from_the_disk_image_nothing_is_installed(place: str) -> None:
    with pytest.raises(LookaheadError, match="drag it into Applications"):
        app.check_place(Path(place))


def test_other_systems_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(LookaheadError, match="win32"):
        app.agent_here()


def test_a_program_that_is_missing_is_one_that_failed() -> None:
    assert agent.run_command(("no-such-launchctl",)).returncode == 127
