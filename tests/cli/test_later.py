"""Groups whose commands are imported when somebody enters them."""

import subprocess
import sys

import pytest

from tests.cli.calling import mlx_spec

GROUPS = ("models", "train")


def test_the_front_page_names_groups_without_importing_them() -> None:
    code = (
        "import atexit, sys; from mlx_spec.cli import main as cli; sys.argv = ['mlx-spec', '--help']; "
        "atexit.register(lambda: print(sorted(m for m in sys.modules if m.startswith('mlx_spec.cli.commands.'))));"
        "cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    *page, imported = done.stdout.splitlines()
    for group in GROUPS:
        assert any(f" {group} " in line for line in page)
        assert f"'mlx_spec.cli.commands.{group}" not in imported


@pytest.mark.parametrize(("group", "command"), [("models", "pairs"), ("train", "draft")])
def test_an_entered_group_has_its_commands(group: str, command: str) -> None:
    shown = mlx_spec(group, "--help")
    assert shown.returncode == 0
    assert f" {command} " in shown.stdout
    assert mlx_spec(group).stdout.split() == shown.stdout.split()
    nearly = mlx_spec(group, f"{command}x")
    assert nearly.returncode == 2
    assert command in nearly.stderr
