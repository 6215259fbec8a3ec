"""What lies inside a built bundle, against what `contents.toml` allows: packages, Qt's libraries and plugins, bytes.

python packaging/bundle/contents.py DIST          fails where something came in, or it has grown
python packaging/bundle/contents.py DIST --list   prints the packages of both programs, for contents.toml
"""

import os
import sys
import tomllib
from pathlib import Path
from typing import Any

ALLOWED = Path(__file__).with_name("contents.toml")
PROGRAMS = {"engine": "mlx-spec", "window": "lookahead"}


def packages_of(program: Path) -> set[str]:
    """The top names of all modules in a frozen program, those of the standard library left out."""
    from PyInstaller.archive.readers import CArchiveReader

    names = CArchiveReader(str(program)).open_embedded_archive("PYZ.pyz").toc
    found = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    return {name for name in found if not name.startswith("_sysconfigdata")}


def files_of(bundle: Path) -> list[Path]:
    """All files, relative to the bundle; a link is no file of its own."""
    return sorted(path.relative_to(bundle) for path in bundle.rglob("*") if path.is_file() and not path.is_symlink())


def looked_at(bundle: Path, programs: Path) -> dict[str, Any]:
    """What a bundle holds; `programs` is the folder of its two programs."""
    files = files_of(bundle)
    starter = {path for path in files if "resources/models/" in path.as_posix()}
    return {
        "packages": {kind: packages_of(programs / name) for kind, name in PROGRAMS.items()},
        "libraries": {_library(path) for path in files} - {""},
        "plugins": {path.as_posix().partition("/plugins/")[2] for path in files if "/Qt/plugins/" in path.as_posix()},
        "bindings": {
            path.name.partition(".")[0] for path in files if path.parent.name == "PySide6" and path.suffix == ".so"
        },
        "libmlx": [path.as_posix() for path in files if path.name.startswith("libmlx.")],
        "bytes": sum(os.path.getsize(bundle / path) for path in files if path not in starter),
        "starter": sorted(path.name for path in starter),
        "files": {path.as_posix() for path in files},
    }


def complaints(found: dict[str, Any], allowed: dict[str, Any], system: str) -> list[str]:
    """A sentence for each thing that is inside and should not be, or should be and is not."""
    qt = allowed["qt"]
    libraries = {*qt["libraries"], *(qt["linux_libraries"] if system == "linux" else ())}
    own = {*(allowed["packages"]["linux"] if system == "linux" else ())}
    told = []
    for kind, packages in found["packages"].items():
        extra = sorted(packages - own - {*allowed["packages"][kind]})
        told += [f"{name} came into {PROGRAMS[kind]}" for name in extra]
    told += [f"Qt's library {name} came in" for name in sorted(found["libraries"] - libraries)]
    told += [f"Qt's plugin {name} came in" for name in sorted(found["plugins"] - {*qt["plugins"][system]})]
    told += [f"PySide6's {name} came in" for name in sorted(found["bindings"] - {*qt["bindings"]})]
    if len(found["libmlx"]) != 1:
        told.append(f"MLX's library is there {len(found['libmlx'])} times: {found['libmlx']}")
    if system == "darwin" and not any(path.endswith("mlx/lib/mlx.metallib") for path in found["files"]):
        told.append("mlx.metallib is not beside MLX's library")
    if "model.safetensors" not in found["starter"]:
        told.append("the starter target is not inside")
    if not any("resources/LICENSES/libraries/" in path for path in found["files"]):
        told.append("the licences of the libraries are not inside")
    limit = allowed["size"][system]
    if found["bytes"] > limit * 1_000_000:
        told.append(f"it has {found['bytes'] / 1e6:.0f} MB without the starter target, {limit} are allowed")
    return told


def _library(path: Path) -> str:
    name = path.as_posix()
    if ".framework/" in name:
        return name.partition(".framework/")[0].rpartition("/Qt")[2] if "/Qt/lib/" in name else ""
    return path.name.removeprefix("libQt6").partition(".")[0] if path.name.startswith("libQt6") else ""


def main(dist: Path, *options: str) -> int:
    """Look, tell, and give the exit code."""
    darwin = (dist / "Lookahead.app").is_dir()
    bundle = dist / ("Lookahead.app" if darwin else "Lookahead")
    found = looked_at(bundle, bundle / "Contents" / "MacOS" if darwin else bundle)
    if "--list" in options:
        for kind, packages in found["packages"].items():
            print(f"{kind} = {sorted(packages)}".replace("'", '"'))
        return 0
    told = complaints(found, tomllib.loads(ALLOWED.read_text("utf-8")), "darwin" if darwin else "linux")
    print(f"bundle: {found['bytes'] / 1e6:.0f} MB without the starter target, {len(found['files'])} files")
    for sentence in told:
        print(f"bundle: {sentence}")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
