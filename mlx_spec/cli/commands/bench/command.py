"""`mlx-spec bench`: its options. MLX is imported inside, so that `--help` and a mistyped option answer at once."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mlx_spec.bench import plan as plans
from mlx_spec.bench.paired.models import ModelChoice
from mlx_spec.bench.paired.serving.plan import numbers_at_once, rates_in
from mlx_spec.bench.prompts import KINDS
from mlx_spec.cli.commands.bench.modes import (
    PAIRED,
    SERVING,
    asked_mode,
    load_plan_of,
    options_in,
    plan_of,
    scope_of,
    serve_plan_of,
)
from mlx_spec.cli.terminal.json_output import write_json
from mlx_spec.cli.terminal.options import Anyway, KvBits
from mlx_spec.errors import ConfigError

if TYPE_CHECKING:
    from mlx_spec.bench.report_file import AnyReport

_FILE_WIDTH: Final = 120


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
        str | None,
        typer.Option(
            help="Our server against the OpenAI-compatible one at this address. With --serve: a checkout of another "
            "build of ours.",
            metavar="URL|FOLDER",
        ),
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Our server against mlx-lm's, asked several things at once.")
    ] = False,
    load: Annotated[
        str | None,
        typer.Option(
            help="As --serve, but requests come when they like, so many a second, as in 0.5,1; --prompts says how many "
            "of each.",
            metavar="RATES",
        ),
    ] = None,
    at_once: Annotated[str | None, typer.Option(help="With --serve: how many, as in 1,2,4,8,16.")] = None,
    ours: Annotated[
        str | None, typer.Option(help="With --serve: ours is the one at this address.", metavar="URL")
    ] = None,
    serve_options: Annotated[
        str | None, typer.Option(help="With --serve: more for our `serve`, as in '--max-batch 16'.")
    ] = None,
    turns: Annotated[
        bool, typer.Option("--turns", help="Chats of three turns, about 2,000 tokens: the wait for the first text.")
    ] = False,
    predicted: Annotated[
        bool, typer.Option("--predicted", help="A file written again with three changes, which was predicted.")
    ] = False,
    url: Annotated[
        str | None, typer.Option(help="With --turns and --serve: ours against the one at this address.", metavar="URL")
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
    kv_bits: KvBits = None,
    past_end: Annotated[
        bool, typer.Option("--past-end", help="Go on behind the model's end token: all answers are of one length.")
    ] = False,
    slices: Annotated[
        int | None, typer.Option(help="Take turns within answers, so many tokens each; 0: whole answers in turn.")
    ] = None,
    verifying: Annotated[
        bool, typer.Option("--verifying", help="Only verifying by itself, against probabilities at every position.")
    ] = False,
    constrained: Annotated[
        bool, typer.Option("--constrained", help="Answers by schemas: ours, ours without drafts, mlx-lm's masked.")
    ] = False,
    ties: Annotated[
        int | None,
        typer.Option(
            "--ties",
            metavar="ANSWERS",
            help="Only how many tokens fast passes change against plain decoding, and how near a tie that was.",
            min=1,
        ),
    ] = None,
    anyway: Anyway = False,
    out: Annotated[Path | None, typer.Option(help="Keep everything as JSON here, after each prompt.")] = None,
    show: Annotated[Path | None, typer.Option(help="Measure nothing: print what --out kept.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure plain decoding, mlx-lm, its speculation and ours in turns in this process; `make bench` is --quick."""
    if verifying:
        _tell_verifying(as_json=as_json)
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
        "kv_bits": kv_bits,
        "slices": slices,
    }
    models = ModelChoice(target, draft, pair, anyway)
    given = {"--quick": quick, "--full": full, "--fixed-sweep": fixed_sweep, "--host": host}
    given |= {"--constrained": constrained}
    paired = {
        "--cold": cold,
        "--disturbed": disturbed,
        "--beside": beside is not None and not serve and load is None,
        "--turns": turns,
    }
    paired |= {"--serve": serve, "--load": load is not None, "--predicted": predicted, "--ties": ties is not None}
    mode = asked_mode(given | paired)
    if first_start and mode != "--cold":
        raise ConfigError("first_start", True, "together with --cold")
    if url is not None and mode not in ("--turns", *SERVING):
        raise ConfigError("url", url, "together with --turns or --serve")
    if at_once is not None and mode != "--serve":
        raise ConfigError("at_once", at_once, "together with --serve")
    for name, value in {"ours": ours, "serve_options": serve_options}.items():
        if value is not None and mode not in SERVING:
            raise ConfigError(name, value, "together with --serve or --load")
    if show is not None:
        from mlx_spec.bench.report_file import read_report

        report = read_report(show)
    elif ties is not None:
        from mlx_spec.cli.commands.bench.ties import measured_ties, tokens_of

        report = measured_ties(models, ties, tokens_of(chosen), out)
    elif mode == "--constrained":
        from mlx_spec.cli.commands.bench.constrained import constrained_scope, measured_constrained
        from mlx_spec.cli.commands.bench.measuring import keeper

        report = measured_constrained(models, constrained_scope(chosen), out, keeper(out))
    elif mode in SERVING:
        if load is not None:
            served = load_plan_of(chosen | {"rates": rates_in(load)})
        else:
            served = serve_plan_of(chosen | {"at_once": numbers_at_once(at_once) if at_once is not None else None})
        options = options_in(serve_options)
        from mlx_spec.cli.commands.bench.measuring import keeper
        from mlx_spec.cli.commands.bench.serving import Sides, measure_served

        before = Path(beside) if beside is not None else None
        sides = Sides(ours, url, beside_model, beside_key, options, before)
        report = measure_served(served, models, sides, keeper(out))
    elif mode in PAIRED:
        scope = scope_of(mode, chosen)  # first, as a mistyped option waits for no library that is slow to import
        from mlx_spec.cli.commands.bench.measuring import keeper
        from mlx_spec.cli.commands.bench.paired import Peer, measure_paired

        address = beside if beside is not None else url
        peer = Peer(address, beside_model, beside_key) if address is not None else None
        report = measure_paired(PAIRED[mode], scope, models, peer=peer, first_start=first_start, save=keeper(out))
    else:
        plan = plan_of(mode, chosen)
        from mlx_spec.cli.commands.bench.measuring import measured

        # The host is part of a whole picture, not of a question about some contenders.
        with_host = host or (contenders is None and not fixed_sweep)
        report = measured(plan, None if host else models, out, with_host=with_host)
    _tell(report, as_json=as_json)


def _tell_verifying(*, as_json: bool) -> None:
    from mlx_spec.bench.verifying import measure_verifying
    from mlx_spec.cli.commands.bench.verifying import verifying_lines

    rows = measure_verifying()
    if as_json:
        write_json([row.to_dict() for row in rows])
    else:
        sys.stdout.write("\n".join(verifying_lines(rows)) + "\n")


def _tell(report: "AnyReport", *, as_json: bool) -> None:
    """As JSON, or as tables."""
    if as_json:
        sys.stdout.write(json.dumps(report.to_dict()) + "\n")
        return
    from rich.console import Console

    from mlx_spec.bench.constrained.report import ConstrainedReport
    from mlx_spec.bench.paired.report import PairedReport
    from mlx_spec.bench.paired.serving.report import ServeReport
    from mlx_spec.bench.ties import TieReport
    from mlx_spec.cli.commands.bench.constrained import constrained_lines
    from mlx_spec.cli.commands.bench.paired_tables import paired_tables
    from mlx_spec.cli.commands.bench.serving_tables import serving_tables
    from mlx_spec.cli.commands.bench.tables import tables
    from mlx_spec.cli.commands.bench.ties import tie_lines

    if isinstance(report, TieReport):
        sys.stdout.write("\n".join(tie_lines(report)) + "\n")
        return
    if isinstance(report, ConstrainedReport):
        sys.stdout.write("\n".join(constrained_lines(report)) + "\n")
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _FILE_WIDTH  # a file has no width of its own, and eighty columns cut the headings
    if isinstance(report, ServeReport):
        console.print(serving_tables(report))
    else:
        console.print(paired_tables(report) if isinstance(report, PairedReport) else tables(report))
