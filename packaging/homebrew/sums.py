"""What a release tells of its files: their SHA-256 in SHA256SUMS, and in the cask and the formula that install them.

    python packaging/homebrew/sums.py DIST    DIST holds the disk image, the wheel and the source of pyproject's version

Writes DIST/SHA256SUMS, DIST/lookahead.rb and DIST/mlx-spec.rb; the last two go to the tap as they are.
"""

import hashlib
import re
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
# What stands in this repository: nothing has such a sum, so nothing is installed from an unfilled file.
UNFILLED = "0" * 64


def released(version: str) -> dict[str, str]:
    """The files of a release, each with the Homebrew file that fetches it, or none."""
    return {
        f"Lookahead-{version}-arm64.dmg": "lookahead.rb",
        f"lookahead_spec-{version}.tar.gz": "mlx-spec.rb",
        f"lookahead_spec-{version}-py3-none-any.whl": "",
    }


def filled(text: str, version: str, file: str, digest: str) -> str:
    """A cask or a formula with the sum of its file. Raises ValueError where it would fetch another one."""
    (url,) = re.findall(r'^ +url "([^"]+)"$', text, re.MULTILINE)
    if not url.replace("#{version}", version).endswith(f"/v{version}/{file}"):
        raise ValueError(f"it fetches {url}, and the release has {file}")
    if text.count(f'sha256 "{UNFILLED}"') != 1:
        raise ValueError("it has no place for a sum")
    return text.replace(UNFILLED, digest)


def main(dist: Path) -> int:
    """Write the three files; the exit code."""
    version = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    sums = {}
    for file, recipe in released(version).items():
        try:
            with (dist / file).open("rb") as opened:
                sums[file] = hashlib.file_digest(opened, "sha256").hexdigest()
            if recipe:
                text = filled((HERE / recipe).read_text("utf-8"), version, file, sums[file])
                (dist / recipe).write_text(text, "utf-8")
        except OSError as error:
            print(f"sums: {error.filename}: {error.strerror}", file=sys.stderr)
            return 1
        except ValueError as error:
            print(f"sums: {recipe}: {error}", file=sys.stderr)
            return 1
    lines = "".join(f"{digest}  {file}\n" for file, digest in sorted(sums.items()))
    (dist / "SHA256SUMS").write_text(lines, "utf-8")
    print(lines, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
