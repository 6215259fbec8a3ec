"""What is run on another machine, by which interpreter; and what ssh says where it gets nowhere."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mlx_spec.hosts.starting import RankProcess, environment_lines, reach, remote_script, ssh_command

COMMAND = (sys.executable, "-m", "mlx_spec.cli", "hosts", "follow")


def program(path: Path, says: str) -> Path:
    path.write_text(f'#!/bin/sh\necho {says} "$@" in "$PWD" A="$A"\n')
    path.chmod(0o755)
    return path


def said(script: str, path: str = "/usr/bin:/bin", hears: bytes = b"") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["/bin/sh", "-c", script], env={"PATH": path}, input=hears, capture_output=True, check=False)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_the_interpreter_that_is_named(tmp_path: Path) -> None:
    python = str(program(tmp_path / "python", "named"))
    script = remote_script(COMMAND, host="b", python=python, folder=str(tmp_path))
    assert said(script).stdout == f"named -m mlx_spec.cli hosts follow in {tmp_path} A=\n"


def test_its_environment_comes_by_its_input_and_stands_on_no_command_line(tmp_path: Path) -> None:
    """Everybody with an account there, or here, reads those."""
    cat = tmp_path / "cat"
    cat.write_text('#!/bin/sh\necho "A=$A B=$B"\nexec cat\n')
    cat.chmod(0o755)
    script = remote_script(COMMAND, host="b", python=str(cat), folder=None, reads_environment=True)
    before = environment_lines(["A= it's \\ $HOME", "B=of=two"])
    assert said(script, hears=before + b"the config\n\nand more").stdout == (
        "A= it's \\ $HOME B=of=two\nthe config\n\nand more"
    )
    assert environment_lines([]) == b""


def test_what_is_to_be_read_before_stands_before_the_config() -> None:
    lines: list[str] = []
    over = threading.Event()
    process = RankProcess(
        ["cat"], {"rank": 1}, relay=lines.append, ended=lambda code: over.set(), before=environment_lines(["A=1"])
    )
    process.loose()
    assert over.wait(60)
    assert lines == ["A=1", '{"rank": 1}']


def test_the_same_as_here_where_it_is_there_too(tmp_path: Path) -> None:
    here = program(tmp_path / "here", "same")
    script = remote_script((str(here), *COMMAND[1:]), host="b", python=None, folder="/no/such/folder")
    assert said(script).stdout.startswith("same -m mlx_spec.cli hosts follow in ")


def test_else_the_one_of_the_path(tmp_path: Path) -> None:
    program(tmp_path / "mlx-spec", "found")
    script = remote_script(("/not/there", *COMMAND[1:]), host="b", python=None, folder=None)
    assert said(script, f"{tmp_path}:/usr/bin:/bin").stdout.startswith("found hosts follow in ")


def test_else_a_sentence() -> None:
    script = remote_script(("/not/there", *COMMAND[1:]), host="b.local", python=None, folder=None)
    done = said(script)
    assert done.returncode == 127
    assert "b.local has neither /not/there nor an mlx-spec on its path: install Lookahead there" in done.stderr


def test_whatever_shell_its_user_has_the_script_comes_to_sh_as_it_is(tmp_path: Path) -> None:
    script = "echo \"it's\" '$HOME' \\\\\nexit 3"
    *_, host, whole = ssh_command("user@b", script)
    assert host == "user@b"
    done = subprocess.run(["bash", "-c", whole], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == (said(script).stdout, 3)


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("exit 0", None),
        ("echo 'ssh: connect to host b port 22: No route to host' >&2; exit 255", "No route to host"),
        ("exit 255", "ssh ended with 255"),
    ],
)
def test_what_ssh_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, why: str | None) -> None:
    (tmp_path / "ssh").write_text(f"#!/bin/sh\n{does}\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = reach("b")
    assert found is None if why is None else why in (found or "")


def test_no_ssh_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert reach("b") == "there is no ssh on this machine"
