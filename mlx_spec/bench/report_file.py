"""A report on disk, whichever way of measuring it came from."""

import json
from pathlib import Path

from mlx_spec.bench.constrained.report import CONSTRAINED, ConstrainedReport
from mlx_spec.bench.paired.report import PairedReport
from mlx_spec.bench.paired.serving.report import SERVE, ServeReport
from mlx_spec.bench.report import Report
from mlx_spec.bench.ties import TIES, TieReport
from mlx_spec.errors import LookaheadError, StorageError

AnyReport = Report | PairedReport | ServeReport | TieReport | ConstrainedReport


def write_report(report: AnyReport, path: Path) -> None:
    """Write a report as JSON, whole or not at all. Raises StorageError."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(json.dumps(report.to_dict()) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StorageError(
            f"The report cannot be written to {path} ({reason}): name another file with --out."
        ) from error


def read_report(path: Path) -> AnyReport:
    """Read what `write_report` wrote. Raises LookaheadError for anything else."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.get("mode") == SERVE:
            return ServeReport.from_dict(values)
        if values.get("mode") == TIES:
            return TieReport.from_dict(values)
        if values.get("mode") == CONSTRAINED:
            return ConstrainedReport.from_dict(values)
        return PairedReport.from_dict(values) if "mode" in values else Report.from_dict(values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LookaheadError(
            f"{path} is no report of a measurement: name a file that --out wrote.", details=repr(error)
        ) from error
