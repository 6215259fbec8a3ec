"""Homebrew's files and the workflow of a release agree with pyproject.toml."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CASK = (ROOT / "packaging/homebrew/lookahead.rb").read_text("utf-8")
FORMULA = (ROOT / "packaging/homebrew/mlx-spec.rb").read_text("utf-8")


def field(text: str, name: str) -> str:
    """The text after a field's name."""
    (value,) = re.findall(rf'^\s*{name} "([^"]*)"', text, re.MULTILINE)
    return str(value)


def test_versions() -> None:
    assert field(CASK, "version") == PROJECT["version"]
    assert field(FORMULA, "url").endswith(f"/v{PROJECT['version']}.tar.gz")


def test_where_it_lies() -> None:
    home = PROJECT["urls"]["Homepage"]
    for text in (CASK, FORMULA):
        assert field(text, "homepage") == home
        assert field(text, "url").startswith(f"{home}/")
    assert field(FORMULA, "license") == PROJECT["license"]


def test_the_casks_file_is_the_one_that_a_release_makes() -> None:
    script = (ROOT / "packaging/release.sh").read_text("utf-8")
    assert "IMAGE=$OUT/Lookahead-$VERSION-arm64.dmg" in script
    assert field(CASK, "url").endswith("/v#{version}/Lookahead-#{version}-arm64.dmg")


def test_the_programs_have_the_names_of_the_wheels() -> None:
    assert "mlx-spec" in PROJECT["scripts"]
    assert 'binary "#{appdir}/Lookahead.app/Contents/MacOS/mlx-spec"' in CASK
    assert 'bin.install_symlink libexec/"bin/mlx-spec"' in FORMULA


def test_both_want_what_the_app_wants() -> None:
    for text in (CASK, FORMULA):
        assert "depends_on arch: :arm64" in text
        assert ":sonoma" in text  # macOS 14


def test_a_release_is_signed_where_the_secrets_are_and_unsigned_elsewhere() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text("utf-8"))
    assert workflow[True]["push"]["tags"] == ["v*"]  # YAML takes `on` for a truth value
    steps = {step.get("run"): step.get("if") for step in workflow["jobs"]["macos"]["steps"] if "run" in step}
    assert steps["packaging/release.sh"] == "env.CERTIFICATE != ''"
    assert steps["packaging/release.sh --unsigned"] == "env.CERTIFICATE == ''"
    assert "--draft" in workflow["jobs"]["publish"]["steps"][-1]["run"]
