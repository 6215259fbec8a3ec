"""What in an app has to be signed one by one: every Mach-O file outside frameworks and of no other name, deepest first.

    python packaging/macos/machos.py Lookahead.app

A suffix does not tell: the interpreter's library may be called `Python`. Links are followed by nobody.
"""

import os
import sys
from pathlib import Path

# Thin and universal, in both orders of their bytes.
MAGIC = {bytes.fromhex(one) for one in ("feedface", "feedfacf", "cefaedfe", "cffaedfe", "cafebabe", "bebafeca")}


def is_macho(path: Path) -> bool:
    """By its first four bytes. A Java class begins like a universal binary: none lies in the app."""
    with path.open("rb") as file:
        return file.read(4) in MAGIC


def to_sign(app: Path) -> list[Path]:
    """The files, those in the deepest folders first; the two programs are signed last, with their entitlements."""
    found = []
    for folder, folders, names in os.walk(app / "Contents"):
        folders[:] = [name for name in folders if not name.endswith(".framework")]
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink() and path.parent != app / "Contents" / "MacOS" and is_macho(path):
                found.append(path)
    return sorted(found, key=lambda path: (-len(path.parts), str(path)))


if __name__ == "__main__":
    for path in to_sign(Path(sys.argv[1])):
        print(path)
