"""packaging/release.sh with stand-ins for Apple's tools: the right calls in the right order, and none after a failure.

Nothing here ran on a Mac. What the tools themselves do is not tested, only what they are told.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
IDENTITY = "Developer ID Application: The Authors (ABCDE12345)"
IMAGE = f"dist/Lookahead-{VERSION}-arm64.dmg"
MACHO = b"\xcf\xfa\xed\xfe" + bytes(28)

# Says what it was called with, and fails where $FAIL is found in that.
TOOL = """#!{sh}
line="{name} $*"
echo "$line" >>"$LOG"
case "$line " in *"${{FAIL:-no such words}} "*) echo "{name} refuses" >&2; exit 9 ;; esac
{more}
"""
# Stands in for .venv/bin/python: the app that it builds has what an app has; one helper is really run.
PYTHON = """
case "$1 $2" in
*bundle/build.py*)
    frameworks="$APP/Contents/Frameworks" programs="$APP/Contents/MacOS"
    mkdir -p "$programs" "$frameworks/mlx/lib" "$frameworks/Q t.framework/Versions/A"
    cp "$MACHO" "$frameworks/mlx/lib/libmlx.dylib"
    cp "$MACHO" "$frameworks/mlx/core.so"
    cp "$MACHO" "$frameworks/Python"
    cp "$MACHO" "$frameworks/Q t.framework/Versions/A/Q t"
    cp "$MACHO" "$programs/lookahead"
    echo text >"$frameworks/notes.so"
    ln -s ../Frameworks/Python "$programs/alias"
    cp "$FROZEN" "$programs/mlx-spec" ;;
*machos.py*|*on_gpu.py*|*sums.py*) exec "$REAL_PYTHON" "$@" ;;
*hatchling*) for last in "$SOURCE.tar.gz" "$SOURCE-py3-none-any.whl"; do echo source >"$last"; done ;;
*dmgbuild*) for last; do :; done; echo image >"$last" ;;
esac
"""


@dataclass(frozen=True)
class Release:
    """A copy of what release.sh reads, and tools that write down what they are told."""

    checkout: Path
    tools: Path

    def run(self, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {
            "PATH": str(self.tools),
            "PYTHON": str(self.tools / "python"),
            "REAL_PYTHON": sys.executable,
            "SH": str(shutil.which("sh")),
            "LOG": str(self.checkout / "log"),
            "APP": "dist/Lookahead.app",
            "MACHO": str(self.checkout / "macho"),
            "FROZEN": str(self.tools / "mlx-spec"),
            "SOURCE": f"dist/lookahead_spec-{VERSION}",
        }
        return subprocess.run(
            [str(shutil.which("sh")), "packaging/release.sh", *options], cwd=self.checkout, env=given | environment,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def signed(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run(**({"LOOKAHEAD_IDENTITY": IDENTITY, "LOOKAHEAD_NOTARY_PROFILE": "notary"} | environment))

    @property
    def calls(self) -> list[str]:
        log = self.checkout / "log"
        lines = log.read_text("utf-8").splitlines() if log.exists() else []
        return [line.replace("dist/Lookahead.app", "APP").replace(IDENTITY, "ID") for line in lines]


@pytest.fixture
def release(tmp_path: Path) -> Release:
    checkout, tools = tmp_path / "Kopie mit Ä", tmp_path / "bin"
    shutil.copytree(ROOT / "packaging", checkout / "packaging", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", checkout)
    for folder in ("build", "dist"):
        (checkout / folder).mkdir()
    (checkout / "macho").write_bytes(MACHO)
    tools.mkdir()
    for name in ["sed", "grep", "mkdir", "mktemp", "rm", "cat", "cp", "ln", "find", "sort", "dirname", "basename"]:
        (tools / name).symlink_to(str(shutil.which(name)))
    more = {
        "uname": 'case "$1" in -m) echo "${MACHINE:-arm64}";; *) echo "${SYSTEM:-Darwin}";; esac',
        "security": f'echo "  1) 0123 \\"{IDENTITY}\\""',
        "python": PYTHON,
        "mlx-spec": 'echo "{\\"device\\": {\\"metal\\": ${METAL:-true}}}"',
    }
    for name in ("mlx-spec", "uname", "security", "python", "codesign", "xcrun", "spctl", "ditto"):
        text = TOOL.format(sh=shutil.which("sh"), name=name, more=more.get(name, ""))
        (tools / name).write_text(text, "utf-8")
        (tools / name).chmod(0o755)
    return Release(checkout, tools)


SIGN = "codesign --force --sign ID --timestamp --options runtime"
SUBMIT = "--keychain-profile notary --wait --timeout 1h"
ALL = [
    "security find-identity -v -p codesigning",
    "xcrun notarytool history --keychain-profile notary",
    "python packaging/macos/pictures.py build/pictures",
    "python packaging/bundle/build.py",
    "python packaging/macos/machos.py APP",
    f"{SIGN} APP/Contents/Frameworks/mlx/lib/libmlx.dylib",
    f"{SIGN} APP/Contents/Frameworks/mlx/core.so",
    f"{SIGN} APP/Contents/Frameworks/Python",
    f"{SIGN} APP/Contents/Frameworks/Q t.framework",
    f"{SIGN} --entitlements packaging/macos/entitlements.plist APP/Contents/MacOS/mlx-spec",
    f"{SIGN} --entitlements packaging/macos/entitlements.plist APP",
    "codesign --verify --strict --deep --verbose=2 APP",
    "mlx-spec doctor --json",
    "python packaging/macos/on_gpu.py",
    "mlx-spec generate Say hello. --max-tokens 8 --temperature 0",
    "ditto -c -k --keepParent APP build/Lookahead.zip",
    f"xcrun notarytool submit build/Lookahead.zip {SUBMIT}",
    "xcrun stapler staple APP",
    "xcrun stapler validate APP",
    "spctl --assess --type execute --verbose=2 APP",
    "python -m dmgbuild -s packaging/macos/disk_image.py -D app=APP -D pictures=build/pictures Lookahead " + IMAGE,
    f"codesign --force --sign ID --timestamp {IMAGE}",
    f"xcrun notarytool submit {IMAGE} {SUBMIT}",
    f"xcrun stapler staple {IMAGE}",
    f"xcrun stapler validate {IMAGE}",
    f"spctl --assess --type open --context context:primary-signature --verbose=2 {IMAGE}",
    "python -m hatchling build -d dist",
    "python packaging/homebrew/sums.py dist",
]


def told(calls: list[str]) -> list[str]:
    """Without what only asks which machine this is, and with the folder of the doctor's findings left out."""
    kept = [call for call in calls if not call.startswith("uname")]
    return [call.rpartition(" ")[0] if "on_gpu.py" in call else call for call in kept]


def test_everything_in_its_order(release: Release) -> None:
    done = release.signed()
    assert done.returncode == 0, done.stderr
    assert told(release.calls) == ALL
    digest = hashlib.sha256(b"image\n").hexdigest()
    assert f"{digest}  Lookahead-{VERSION}-arm64.dmg\n" in (release.checkout / "dist/SHA256SUMS").read_text("utf-8")
    assert f'sha256 "{digest}"' in (release.checkout / "dist/lookahead.rb").read_text("utf-8")


@pytest.mark.parametrize("place", range(len(ALL)), ids=lambda place: ALL[place][:60])
def test_it_stops_at_the_first_failure(release: Release, place: int) -> None:
    words = ALL[place].removeprefix("mlx-spec ").replace("APP", "dist/Lookahead.app").replace("ID", IDENTITY)
    done = release.signed(FAIL=words)
    assert done.returncode != 0
    assert told(release.calls) == ALL[: place + 1]


def test_unsigned_asks_for_no_credentials_and_notarises_nothing(release: Release) -> None:
    done = release.run("--unsigned")
    assert done.returncode == 0, done.stderr
    calls = "\n".join(told(release.calls))
    assert not any(word in calls for word in ("xcrun", "security", "spctl", "--timestamp", IDENTITY))
    assert "codesign --force --sign - --entitlements packaging/macos/entitlements.plist APP\n" in calls
    assert "codesign --verify --strict" in calls
    assert "mlx-spec generate" in calls


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"LOOKAHEAD_IDENTITY": ""}, "LOOKAHEAD_IDENTITY is not set"),
        ({"LOOKAHEAD_NOTARY_PROFILE": ""}, "LOOKAHEAD_NOTARY_PROFILE is not set"),
        ({"LOOKAHEAD_IDENTITY": "Somebody Else"}, 'no valid identity "Somebody Else"'),
        ({"FAIL": "notarytool history"}, "refuses the profile notary"),
        ({"LOOKAHEAD_TAG": "v99"}, f"v99 is not the version {VERSION}"),
        ({"SYSTEM": "Linux"}, "make bundle proves the same app on Linux"),
        ({"MACHINE": "x86_64"}, "Apple silicon"),
    ],
)
def test_what_is_missing_is_told_before_anything_is_built(
    release: Release, environment: dict[str, str], words: str
) -> None:
    done = release.signed(**environment)
    assert done.returncode == 1
    assert words in done.stderr.splitlines()[-1]
    assert not any("build.py" in call for call in release.calls)


def test_an_app_that_does_not_reach_the_gpu_is_not_released(release: Release) -> None:
    done = release.signed(METAL="false")
    assert done.returncode == 1
    assert "does not compute on the GPU" in done.stderr
    assert not any("notarytool submit" in call for call in release.calls)


def test_a_missing_tool_is_named(release: Release) -> None:
    (release.tools / "ditto").unlink()
    done = release.signed()
    assert (done.returncode, "ditto is missing" in done.stderr) == (1, True)


def test_an_option_that_it_does_not_know(release: Release) -> None:
    assert "usage" in release.run("--quick").stderr


def test_it_is_executable() -> None:
    assert os.access(ROOT / "packaging/release.sh", os.X_OK)
