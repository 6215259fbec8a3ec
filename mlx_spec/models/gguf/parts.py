"""A model in several GGUF files, `name-00001-of-00003.gguf` and the others, read as one."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from mlx_spec.errors import CorruptModelError, ModelNotFoundError
from mlx_spec.models.gguf.header import GGUFHeader, read_header

_PART: Final = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<ending>\.gguf)", re.IGNORECASE)


def is_gguf(path: Path) -> bool:
    """Whether the name is that of a GGUF file, however its ending is written."""
    return path.suffix.lower() == ".gguf"


def model_name(path: Path) -> str:
    """A short name for the model in a GGUF file, the same for each of its parts."""
    part = _PART.fullmatch(path.name)
    return part["name"] if part else path.stem


def part_paths(path: Path) -> list[Path]:
    """The files of the model that the one at `path` belongs to, by its name; only that one where it is whole.

    Raises ModelNotFoundError where one is missing or cannot be looked for.
    """
    part = _PART.fullmatch(path.name)
    if part is None or not 1 <= int(part["number"]) <= int(part["count"]):
        paths = [path]
    else:
        names = [f"{part['name']}-{number:05}-of-{part['count']}" for number in range(1, int(part["count"]) + 1)]
        paths = [path.with_name(name + part["ending"]) for name in names]
    for file in paths:
        try:
            missing = not file.exists()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ModelNotFoundError(f"{file} cannot be read ({reason}).", details=repr(error)) from error
        if missing:
            which = f", one of the {len(paths)} files that the model is split into" if len(paths) > 1 else ""
            raise ModelNotFoundError(f"There is no file {file}{which}.")
    return paths


def read_model(path: Path) -> GGUFHeader:
    """Read the head of the model that the file at `path` is, or is a part of: fields of the first, tensors of all.

    Raises as `read_header` does, and CorruptModelError where the parts do not belong together.
    """
    paths = part_paths(path)
    headers = [read_header(file) for file in paths]
    for number, header in enumerate(headers):
        count = header.integer("split.count", 1)
        if count != len(paths):
            raise CorruptModelError(
                f"{header.path} is one of {count} files of a model, and one of {len(paths)} by its name: give it the"
                f" name that it had, such as model-00001-of-{count:05}.gguf."
            )
        if count > 1 and header.integer("split.no") != number:
            raise CorruptModelError(f"{header.path} is not part {number + 1} of its model, though its name says so.")
    tensors = {name: info for header in headers for name, info in header.tensors.items()}
    whole = headers[0].integer("split.tensors.count", len(tensors))
    if whole != len(tensors) or len(tensors) != sum(len(header.tensors) for header in headers):
        raise CorruptModelError(f"{paths[0]} and its other parts do not belong together, so fetch them again.")
    return replace(headers[0], tensors=tensors, more_paths=tuple(paths[1:]))
