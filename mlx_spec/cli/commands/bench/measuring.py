"""From a plan to a filled report: loads what it needs, and hands it to the module that measures."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mlx_spec.bench.host import measure_host
from mlx_spec.bench.machine import machine_facts
from mlx_spec.bench.paired.models import ModelChoice
from mlx_spec.bench.plan import BenchPlan
from mlx_spec.bench.report import Report
from mlx_spec.bench.report_file import AnyReport, write_report
from mlx_spec.bench.session import measure
from mlx_spec.bench.verifying import measure_verifying
from mlx_spec.cli.terminal.consent import load_with_consent
from mlx_spec.cli.terminal.progress import StageProgress
from mlx_spec.errors import InterruptedWork


def keeper(out: Path | None) -> Callable[[AnyReport], None]:
    """Writes a report where `--out` says, if it does."""
    return lambda report: write_report(report, out) if out is not None else None


@contextmanager
def told_where_kept(out: Path | None) -> Iterator[None]:
    """Whoever interrupts what goes on here is told where the report so far is, if anywhere. Raises InterruptedWork."""
    try:
        yield
    except KeyboardInterrupt:
        if out is None:
            raise
        kept = f"what was measured so far is in {out}, and --show {out} prints it."
        raise InterruptedWork(f"interrupted: {kept}") from None


def measured(plan: BenchPlan, models: ModelChoice | None, out: Path | None, *, with_host: bool) -> Report:
    """A new report: of the models, where there are any to measure, and of the host. Raises LookaheadError."""
    save = keeper(out)
    with StageProgress(lines=True) as progress:
        report = Report(machine_facts(), None, plan)
        save(report)  # a file that cannot be written is told before hours of measuring
        if models is not None:
            pair = load_with_consent(models.name, models.draft, progress, anyway=models.anyway, kv_bits=plan.kv_bits)
            with told_where_kept(out):
                report = measure(pair, plan, progress.tell, save)
        if with_host:
            # Its models are its own, and so narrow that their keys and values stay as they are.
            report.host = measure_host(replace(plan, kv_bits=None), tell=progress.tell)
            progress.tell("verifying by itself", 0.0)
            report.verifying = measure_verifying()
        report.complete = True
        save(report)
    return report
