"""The text of a kernel as CUDA takes it: what stands before its headers, and before its body."""

from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent


def header(own: str) -> str:
    """A kernel's headers behind what they use of Metal."""
    return f"{_read('prologue')}\n{own}"


def body(own: str) -> str:
    """A kernel's body behind where its threads stand."""
    return f"{_read('positions')}\n{own}"


def _read(name: str) -> str:
    return (_FOLDER / f"{name}.cuh").read_text(encoding="utf-8")
