"""`mlx-spec bench`: its options. MLX is imported inside, so that `--help` and a mistyped option answer at once."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from mlx_spec.bench import plan as plans
from mlx_spec.bench.paired.modes import MODES, ModeName
from mlx_spec.bench.plan import BenchPlan, Scope
from mlx_spec.bench.prompts import KINDS
from mlx_spec.cli.terminal.consent import load_with_consent
from mlx_spec.cli.terminal.console import StageProgress
from mlx_spec.cli.terminal.options import Anyway
from mlx_spec.errors import ConfigError, InterruptedWork

_QUICK: dict[str, Any] = {
    "contenders": plans.CORE,
    "kinds": ("chat", "code", "copy-edit"),
    "temperatures": (0.0, 1.0),
    "prompts": 1,
    "answer_tokens": 40,
}
_SWEEP: dict[str, Any] = {
    "contenders": plans.sweep_contenders(),
    "kinds": plans.SWEEP_KINDS,
    "temperatures": (0.0, 1.0),
    "prompts": 1,
    "repeats": 3,
}
_FILE_WIDTH: Final = 120
_HOST: dict[str, Any] = {"temperatures": (0.0, 1.0), "lookahead": 4}
_PRESETS: Final[dict[str, dict[str, Any]]] = {"--quick": _QUICK, "--full": {}, "--fixed-sweep": _SWEEP, "--host": _HOST}
_PAIRED: Final[dict[str, ModeName]] = {"--cold": "cold", "--disturbed": "disturbed", "--beside": "beside"}


def bench(
    target: Annotated[str | None, typer.Option(help="Target: a folder, a .gguf file or a Hub id.")] = None,
    draft: Annotated[str | None, typer.Option(help="Draft: a folder, a Hub id, or none.")] = None,
    pair: Annotated[str, typer.Option(help="A known pair, see `models pairs`.")] = "starter",
    quick: Annotated[bool, typer.Option("--quick", help="Few prompts and the core contenders: the default.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Every contender, kind and temperature: hours.")] = False,
    fixed_sweep: Annotated[
        bool, typer.Option("--fixed-sweep", help="Fixed lengths 0 to 8 against the chosen ones, by kind.")
    ] = False,
    host: Annotated[
        bool, typer.Option("--host", help="Only the host's time a round, on random models made for it.")
    ] = False,
    cold: Annotated[
        bool, typer.Option("--cold", help="Fresh processes of `generate`, with drafts against without.")
    ] = False,
    first_start: Annotated[
        bool, typer.Option("--first-start", help="With --cold: each process measures the machine anew.")
    ] = False,
    disturbed: Annotated[
        bool, typer.Option("--disturbed", help="While another process takes a core every other second.")
    ] = False,
    beside: Annotated[
        str | None, typer.Option(help="Our server against the OpenAI-compatible one at this address.", metavar="URL")
    ] = None,
    beside_model: Annotated[str | None, typer.Option(help="What to ask it for; else the first it lists.")] = None,
    beside_key: Annotated[str | None, typer.Option(help="Its API key.", envvar="LOOKAHEAD_BESIDE_KEY")] = None,
    contenders: Annotated[
        str | None, typer.Option(help=f"Of {', '.join(plans.CONTENDERS)}, model:N, eagle:NxM, …; with commas.")
    ] = None,
    kinds: Annotated[str | None, typer.Option(help=f"Of {', '.join(KINDS)}; with commas.")] = None,
    temperatures: Annotated[str | None, typer.Option(help="As in 0,0.7,1.")] = None,
    prompts: Annotated[int | None, typer.Option(help="How many prompts of each kind.")] = None,
    repeats: Annotated[int | None, typer.Option(help="How often, each time with another seed.")] = None,
    answer_tokens: Annotated[int | None, typer.Option(help="Longest answer, in tokens.")] = None,
    lookahead: Annotated[int | None, typer.Option(help="Fixed length that both sides draft.")] = None,
    past_end: Annotated[
        bool, typer.Option("--past-end", help="Go on behind the model's end token: all answers are of one length.")
    ] = False,
    slices: Annotated[
        int | None, typer.Option(help="Take turns within answers, so many tokens each; 0: whole answers in turn.")
    ] = None,
    verifying: Annotated[
        bool, typer.Option("--verifying", help="Only verifying by itself, against probabilities at every position.")
    ] = False,
    anyway: Anyway = False,
    out: Annotated[Path | None, typer.Option(help="Keep everything as JSON here, after each prompt.")] = None,
    show: Annotated[Path | None, typer.Option(help="Measure nothing: print what --out kept.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure plain decoding, mlx-lm, its speculation and ours in turns in this process; `make bench` is --quick."""
    if verifying:
        from mlx_spec.bench.verifying import tell

        tell(as_json=as_json)
        return
    chosen: dict[str, Any] = {
        "contenders": plans.names_in(contenders) if contenders is not None else None,
        "kinds": plans.names_in(kinds) if kinds is not None else None,
        "temperatures": plans.numbers_in("temperatures", temperatures) if temperatures is not None else None,
        "prompts": prompts,
        "repeats": repeats,
        "answer_tokens": answer_tokens,
        "lookahead": lookahead,
        "past_end": past_end or None,
        "slices": slices,
    }
    given = {"--quick": quick, "--full": full, "--fixed-sweep": fixed_sweep, "--host": host}
    mode = asked_mode(given | {"--cold": cold, "--disturbed": disturbed, "--beside": beside is not None})
    if first_start and mode != "--cold":
        raise ConfigError("first_start", True, "together with --cold")
    report: Any
    if show is not None:
        report = _reported(show)
    elif mode in _PAIRED:
        scope = scope_of(mode, chosen)  # first, as a mistyped option waits for no library that is slow to import
        from mlx_spec.bench.paired.models import ModelChoice
        from mlx_spec.cli.commands.bench_paired import Peer, measure_paired

        models = ModelChoice(target, draft, pair, anyway)
        peer = Peer(beside, beside_model, beside_key) if beside is not None else None
        report = measure_paired(_PAIRED[mode], scope, models, peer=peer, first_start=first_start, save=_keeper(out))
    else:
        # The host is part of a whole picture, not of a question about some contenders.
        with_host = host or (contenders is None and not fixed_sweep)
        plan = plan_of(mode, chosen)
        report = _measured(plan, out, target, draft, pair, anyway=anyway, models=not host, with_host=with_host)
    _tell(report, as_json=as_json)


def asked_mode(given: dict[str, bool]) -> str:
    """The mode that was asked for; --quick where none was. Raises ConfigError where several were."""
    asked = [name for name, on in given.items() if on]
    if len(asked) > 1:
        raise ConfigError("mode", " ".join(asked), f"one of {', '.join(given)}")
    return asked[0] if asked else "--quick"


def plan_of(mode: str, chosen: dict[str, Any]) -> BenchPlan:
    """The plan of a mode, with what was chosen by hand in its place. Raises ConfigError."""
    return BenchPlan(**_PRESETS[mode] | _told(chosen))


def scope_of(mode: str, chosen: dict[str, Any]) -> Scope:
    """The scope of a paired mode, as above. Raises ConfigError for an option that it has no use for."""
    preset = MODES[_PAIRED[mode]].preset
    told = _told(chosen)
    for name in told:
        if name not in preset:
            raise ConfigError(name, told[name], f"left out with {mode}, which does not use it")
    return Scope(**preset | told)


def _told(chosen: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in chosen.items() if value is not None}


def _tell(report: Any, *, as_json: bool) -> None:
    """As JSON, or as tables."""
    if as_json:
        sys.stdout.write(json.dumps(report.to_dict()) + "\n")
        return
    from mlx_spec.bench.paired.report import PairedReport
    from mlx_spec.cli.terminal.bench_table import tables
    from mlx_spec.cli.terminal.paired_table import paired_tables

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _FILE_WIDTH  # a file has no width of its own, and eighty columns cut the headings
    console.print(paired_tables(report) if isinstance(report, PairedReport) else tables(report))


def _keeper(out: Path | None) -> Callable[[Any], None]:
    """Writes a report where `--out` says, if it does."""
    from mlx_spec.bench.report import write_report

    return lambda report: write_report(report, out) if out is not None else None


def _measured(
    plan: BenchPlan,
    out: Path | None,
    target: str | None,
    draft: str | None,
    pair: str,
    *,
    anyway: bool,
    models: bool,
    with_host: bool,
) -> Any:
    """A new report, of the pair where `models`, of the host where `with_host`."""
    from mlx_spec.bench.host import measure_host
    from mlx_spec.bench.machine import machine_facts
    from mlx_spec.bench.report import Report
    from mlx_spec.bench.session import measure
    from mlx_spec.bench.verifying import measure_verifying

    save = _keeper(out)
    with StageProgress() as progress:
        report = Report(machine_facts(), None, plan)
        save(report)  # a file that cannot be written is told before hours of measuring
        if models:
            loaded = load_with_consent(target or pair, draft, progress, anyway=anyway)
            try:
                report = measure(loaded, plan, progress.tell, save)
            except KeyboardInterrupt:
                if out is None:
                    raise
                kept = f"what was measured so far is in {out}, and --show {out} prints it."
                raise InterruptedWork(f"interrupted: {kept}") from None
        if with_host:
            report.host = measure_host(plan, tell=progress.tell)
            progress.tell("verifying by itself", 0.0)
            report.verifying = measure_verifying()
        report.complete = True
        save(report)
    return report


def _reported(path: Path) -> Any:
    from mlx_spec.bench.report import read_report

    return read_report(path)
