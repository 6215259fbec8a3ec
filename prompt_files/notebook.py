"""The text of a Jupyter notebook: words, code, and what the code printed."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_OPENING: Final = re.compile(r"\s*\{\s*\"(?:cells|metadata|nbformat|worksheets|nbformat_minor)\"")


def notebook_text(source: str) -> str | None:
    """All cells in their order, code between fences; pictures are left out. None where `source` is no notebook."""
    if _OPENING.match(source) is None:
        return None
    try:
        book = json.loads(source)
        if not isinstance(book, dict) or "nbformat" not in book:
            return None
        language = book.get("metadata", {}).get("kernelspec", {}).get("language", "python")
        pieces = [piece for cell in _cells(book) for piece in _pieces(cell, language)]
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):  # cut short, or not what it says it is
        return None
    return "\n\n".join(piece for piece in pieces if piece.strip()) + "\n"


def _cells(book: dict[str, Any]) -> list[dict[str, Any]]:
    """Before version 4 they stood in worksheets."""
    return book["cells"] if "cells" in book else [cell for sheet in book["worksheets"] for cell in sheet["cells"]]


def _pieces(cell: dict[str, Any], language: str) -> Iterator[str]:
    text = _joined(cell.get("source", cell.get("input", "")))
    if cell["cell_type"] != "code":
        level = cell.get("level", 1) if cell["cell_type"] == "heading" else 0
        yield "#" * level + " " * bool(level) + text
        return
    if text.strip():
        yield f"```{language}\n{text}\n```"
    for output in cell.get("outputs", []):
        shown = _output(output).strip("\n")
        if shown.strip():
            yield f"Output:\n```\n{shown}\n```"


def _output(output: dict[str, Any]) -> str:
    if output["output_type"] in ("error", "pyerr"):
        trace = "\n".join(output.get("traceback", [])) or f"{output.get('ename')}: {output.get('evalue')}"
        return _COLOURS.sub("", trace)
    return _COLOURS.sub("", _joined(output.get("text") or output.get("data", {}).get("text/plain", "")))


def _joined(lines: str | list[str]) -> str:
    return (lines if isinstance(lines, str) else "".join(lines)).strip("\n")
