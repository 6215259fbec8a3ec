"""What a run over several prompt files brought, as a table for other programs and for people."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal

State = Literal["done", "failed", "stopped"]
Format = Literal["csv", "json", "markdown"]
_MARK: Final = "\ufeff"
# East Asian editions take the wide forms too; a tab or a line end in front is skipped by some programs.
_FORMULA: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")
SUFFIXES: Final[dict[Format, str]] = {"csv": ".csv", "json": ".json", "markdown": ".md"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One prompt's row. `error` is empty where `state` is "done"; `seconds` counts the prompt in."""

    file: str
    title: str
    state: State
    answer: str = ""
    error: str = ""
    finish_reason: str = ""
    seed: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float | None = None
    tokens_per_second: float | None = None
    acceptance_rate: float | None = None


def export(results: Sequence[Result], kind: Format) -> str:
    """All rows in one text."""
    if kind == "json":
        return json.dumps([asdict(result) for result in results], ensure_ascii=False, indent=2) + "\n"
    return _csv(results) if kind == "csv" else _markdown(results)


def _csv(results: Sequence[Result]) -> str:
    """As RFC 4180 has it: of a lone `\\r` in an answer Python makes a second row where rows end in `\\n`.

    Excel takes a table without a byte order mark for its country's code page, and cells like `=1+1` for formulas.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, list(Result.__dataclass_fields__), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({key: _inert(value) for key, value in asdict(result).items()} for result in results)
    return _MARK + out.getvalue()


def _inert(value: object) -> object:
    """A text that no spreadsheet computes: an apostrophe in front says that it is one. Numbers stay numbers."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _markdown(results: Sequence[Result]) -> str:
    """A table of the figures, then every answer under its own heading."""
    lines = ["| file | prompt | state | tokens | tokens/s | accepted |", "|---|---|---|---:|---:|---:|"]
    for one in results:
        cells = (one.file, one.title, one.state, _figure(one.completion_tokens), _figure(one.tokens_per_second))
        share = "" if one.acceptance_rate is None else f"{one.acceptance_rate:.0%}"
        lines.append("| " + " | ".join(_cell(cell) for cell in (*cells, share)) + " |")
    parts = [f"## {one.title} ({one.file})\n\n{one.answer.strip() or one.error}\n" for one in results]
    return "\n".join(["# Results", "", *lines, "", *parts])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)
