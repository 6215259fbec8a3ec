"""`mlx-spec bench --ties`: loads, measures and says it, for a person."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlx_spec.cli.terminal.consent import load_with_consent
from mlx_spec.cli.terminal.progress import StageProgress
from mlx_spec.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from mlx_spec.bench.paired.models import ModelChoice
    from mlx_spec.bench.ties import Difference, TieReport

_TOKENS = 64


def tokens_of(chosen: Mapping[str, Any]) -> int:
    """The longest answer, from the options that were given. Raises ConfigError for one that has no part in this."""
    for name, value in chosen.items():
        if value is not None and name != "answer_tokens":
            raise ConfigError(name, value, "left out with --ties, which does not use it")
    tokens = chosen["answer_tokens"]
    if tokens is not None and tokens < 1:
        raise ConfigError("answer_tokens", tokens, "a whole number from 1 on")
    return _TOKENS if tokens is None else int(tokens)


def measured_ties(models: "ModelChoice", answers: int, tokens: int, out: "Path | None") -> "TieReport":
    """Of the chosen pair, with strict passes as well; kept in `out` meanwhile. Raises LookaheadError."""
    from mlx_spec.bench.ties import measure_ties
    from mlx_spec.cli.commands.bench.measuring import keeper, told_where_kept

    with StageProgress() as progress:
        pair = load_with_consent(models.name, models.draft, progress, anyway=models.anyway)
        with told_where_kept(out):
            return measure_ties(pair, answers, tokens, progress.tell, keeper(out), strict=True)


def tie_lines(report: "TieReport") -> list[str]:
    """What it found, in sentences."""
    if not report.answers:
        return ["Nothing was compared yet."]
    lines = [
        f"{report.answers:,} answers of up to {report.tokens} tokens: {report.compared:,} tokens behind the same text "
        "as plain decoding's.",
        f"  fast, {report.at_once} at once, {report.drafted:,} tokens drafted and {report.accepted:,} accepted: "
        f"{_others(report.differences)}",
    ]
    if report.margins:
        middle, most = report.margins[len(report.margins) // 2], report.margins[-1]
        by = f"{middle:.2g} (median) and {most:.2g} (most), in logits with their noise."
        lines.append(f"  There plain decoding preferred its own by {by}")
    if report.least is not None:
        lines.append(f"  The nearest tie of all was {report.least:.2g}.")
    if report.strict_differences is not None:
        width = report.row_invariant_width
        rows = "of any number of rows" if width is None else "of one row" if width == 1 else f"of at most {width} rows"
        lines.append(f"  strict, in passes {rows}: {_others(report.strict_differences)}")
    return lines


def _others(differences: "Sequence[Difference]") -> str:
    """What counts in each answer is the first that differs, so there are as many answers as tokens."""
    if not differences:
        return "no token is another."
    if len(differences) == 1:
        return "1 token is another, the first that differs in its answer."
    return f"{len(differences):,} tokens are others, each the first that differs in its answer."
