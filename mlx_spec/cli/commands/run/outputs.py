"""The folder that a run writes: an answer for each prompt, and a table of them all."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from unicodedata import normalize

from mlx_spec.errors import StorageError
from prompt_files import is_prompt_file
from prompt_files.prompt import SUFFIX as PROMPT_SUFFIX
from prompt_files.results import SUFFIXES, Format, Result, export

_TABLE: Final = "results"
_LONGEST_STEM_BYTES: Final = 200


def answer_paths(paths: Sequence[Path], out: Path) -> list[Path]:
    """Where each answer goes; two files of one name in two folders are told apart by a number.

    So are names that differ by case or by how their accents are composed: to most disks of Macs they are one.
    """
    answers: list[Path] = []
    taken = set[str]()
    for path in paths:
        stem = path.name[: -len(PROMPT_SUFFIX)] if is_prompt_file(path) else path.stem
        answer = next(one for one in _numbered(out, _shortened(stem)) if _on_disk(one) not in taken)
        taken.add(_on_disk(answer))
        answers.append(answer)
    return answers


def _on_disk(path: Path) -> str:
    return normalize("NFC", normalize("NFKD", path.name).casefold())


def _shortened(stem: str) -> str:
    """What of a name leaves room for an answer's ending: a disk takes 255 bytes."""
    return stem.encode("utf-8", "surrogateescape")[:_LONGEST_STEM_BYTES].decode("utf-8", "ignore") or "prompt"


def _numbered(out: Path, stem: str) -> Iterator[Path]:
    yield out / f"{stem}.answer.md"
    number = 2
    while True:
        yield out / f"{stem}-{number}.answer.md"
        number += 1


def _table_path(out: Path, kind: Format) -> Path:
    return out / f"{_TABLE}{SUFFIXES[kind]}"


def make_folder(out: Path, answers: Sequence[Path], *, overwrite: bool) -> None:
    """Make the folder for these answers and the table. Raises StorageError where one of them is there already."""
    written = (*answers, *(_table_path(out, kind) for kind in SUFFIXES))
    there = next((path for path in written if path.exists()), None)
    if there is not None and not overwrite:
        raise StorageError(f"{there} is there already: choose another folder with --out, or give --overwrite.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The folder {out} cannot be made ({error.strerror}): choose another with --out.") from error


def write(path: Path, text: str) -> None:
    """Write an answer. Raises StorageError."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror}): free space or choose another --out."
        ) from error


def write_table(results: Sequence[Result], out: Path) -> None:
    """Write the table of all results, once in each format. Raises StorageError."""
    for kind in SUFFIXES:
        write(_table_path(out, kind), export(results, kind))
