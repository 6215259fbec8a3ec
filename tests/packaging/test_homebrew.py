"""Homebrew's files and the workflow of a release agree with pyproject.toml."""

import hashlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.packaging.test_bundle import program

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
    assert f"/v{PROJECT['version']}/" in field(FORMULA, "url")


def test_where_it_lies() -> None:
    home = PROJECT["urls"]["Homepage"]
    for text in (CASK, FORMULA):
        assert field(text, "homepage") == home
        assert field(text, "url").startswith(f"{home}/")
    assert field(FORMULA, "license") == PROJECT["license"]


class TestSums:
    FILES = (
        f"Lookahead-{PROJECT['version']}-arm64.dmg",
        f"lookahead_spec-{PROJECT['version']}.tar.gz",
        f"lookahead_spec-{PROJECT['version']}-py3-none-any.whl",
    )

    def run(self, dist: Path, without: str = "") -> subprocess.CompletedProcess[str]:
        for name in self.FILES:
            if name != without:
                (dist / name).write_text(f"the bytes of {name}", "utf-8")
        command = [sys.executable, str(ROOT / "packaging/homebrew/sums.py"), str(dist)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def test_a_release_fills_them_in(self, tmp_path: Path) -> None:
        assert self.run(tmp_path).returncode == 0
        image, source, wheel = (hashlib.sha256(f"the bytes of {name}".encode()).hexdigest() for name in self.FILES)
        assert field((tmp_path / "lookahead.rb").read_text("utf-8"), "sha256") == image
        assert field((tmp_path / "mlx-spec.rb").read_text("utf-8"), "sha256") == source
        told = dict(line.split("  ")[::-1] for line in (tmp_path / "SHA256SUMS").read_text("utf-8").splitlines())
        assert told == dict(zip(self.FILES, (image, source, wheel), strict=True))

    def test_here_they_are_none_that_a_file_can_have(self) -> None:
        assert [field(text, "sha256") for text in (CASK, FORMULA)] == ["0" * 64] * 2

    @pytest.mark.parametrize("name", FILES)
    def test_a_release_without_one_of_its_files(self, tmp_path: Path, name: str) -> None:
        done = self.run(tmp_path, without=name)
        assert (done.returncode, name in done.stderr, "Traceback" in done.stderr) == (1, True, False)
        assert not (tmp_path / "SHA256SUMS").exists()

    @pytest.mark.parametrize(
        ("old", "new", "why"),
        [
            ("arm64.dmg", "x86_64.dmg", "it fetches"),
            ("v#{version}", "v9", "it fetches"),
            ('sha256 "', 'sha512 "', "no place"),
        ],
    )
    def test_a_cask_of_another_file_is_not_filled(self, old: str, new: str, why: str) -> None:
        image = self.FILES[0]
        with pytest.raises(ValueError, match=why):
            program("homebrew/sums.py").filled(CASK.replace(old, new), PROJECT["version"], image, "1" * 64)

    def test_they_are_summed_under_the_name_that_the_release_gives(self) -> None:
        script = (ROOT / "packaging/release.sh").read_text("utf-8")
        assert "IMAGE=$OUT/Lookahead-$VERSION-arm64.dmg" in script


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


def test_all_that_a_release_makes_is_published() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text("utf-8"))
    made = {*TestSums.FILES, "lookahead.rb", "mlx-spec.rb", "SHA256SUMS"}
    kept = workflow["jobs"]["macos"]["steps"][-1]["with"]["path"].split()
    assert {name for name in made if any(Path("dist", name).match(pattern) for pattern in kept)} == made
    assert {*workflow["jobs"]["publish"]["needs"]} == {"macos", "linux"}, "what was not proven is not published"
