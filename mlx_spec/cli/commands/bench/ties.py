"""`mlx-spec bench --ties`: loads, measures and says it, for a person."""

from typing import TYPE_CHECKING

from mlx_spec.cli.terminal.consent import load_with_consent
from mlx_spec.cli.terminal.progress import StageProgress

if TYPE_CHECKING:
    from mlx_spec.bench.paired.models import ModelChoice
    from mlx_spec.bench.ties import TieReport


def measured_ties(models: "ModelChoice", answers: int, tokens: int) -> "TieReport":
    """Of the chosen pair, with strict passes as well. Raises LookaheadError."""
    from mlx_spec.bench.ties import measure_ties

    with StageProgress() as progress:
        pair = load_with_consent(models.name, models.draft, progress, anyway=models.anyway)
        return measure_ties(pair, answers, tokens, progress.tell, strict=True)


def tie_lines(report: "TieReport") -> list[str]:
    """What it found, in sentences."""
    width = report.row_invariant_width
    lines = [
        f"{report.answers:,} answers, {report.compared:,} tokens behind the same text:",
        f"  fast: {report.different:,} tokens are others than plain decoding's.",
    ]
    if report.margins:
        middle, most = report.margins[len(report.margins) // 2], report.margins[-1]
        by = f"{middle:.2g} (median) and {most:.2g} (most), in logits with their noise."
        lines.append(f"  There plain decoding preferred its own by {by}")
    if report.least is not None:
        lines.append(f"  The nearest tie of all was {report.least:.2g}.")
    if report.strict_different is not None:
        rows = "of any number of rows" if width is None else "of one row" if width == 1 else f"of at most {width} rows"
        lines.append(f"  strict, in passes {rows}: {report.strict_different:,} tokens are others.")
    return lines
