"""`mlx-spec serve`: its options; the server is `mlx_spec.server`."""

import os
import sys
from typing import Annotated, Any

import typer

from mlx_spec.cli.terminal.forming import FormingLines
from mlx_spec.cli.terminal.group import (
    BackendOption,
    CollectiveTimeout,
    HostfileOption,
    Hosts,
    Python,
    SplitOption,
    check_beside_hosts,
    group_hosts,
    weighing_trees,
)
from mlx_spec.cli.terminal.options import (
    Anyway,
    DrafterOption,
    DraftOption,
    ExactnessOption,
    KvBits,
    KvMemory,
    LookaheadOption,
    MaxBatch,
    MaxWaiting,
    Pair,
    Policy,
    Preemption,
    PrefillBudget,
    PrefixMemory,
    ServedPrefixDisk,
    ServedTree,
    Target,
    batch_settings,
    keeping,
    speculative_config,
)
from mlx_spec.hosts.assignment import RANK_VARIABLE, assigned
from mlx_spec.hosts.watchdog import LIMIT_S


def serve(
    target: Target = None,
    draft: DraftOption = None,
    pair: Pair = "starter",
    drafter: DrafterOption = "auto",
    lookahead: LookaheadOption = None,
    tree: ServedTree = None,
    kv_bits: KvBits = None,
    exactness: ExactnessOption = "auto",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8765,
    api_key: Annotated[str | None, typer.Option(help="Ask clients for this key.", envvar="LOOKAHEAD_API_KEY")] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another name that clients know this machine by; may be given again.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Web pages that may ask, as in http://localhost:3000; may be given again."),
    ] = None,
    anyway: Anyway = False,
    unload_after: Annotated[
        float,
        typer.Option(
            help="Let go of the models after so many minutes without a request; 0 is never. Not beside --hosts.", min=0
        ),
    ] = 0,
    models_loaded: Annotated[
        int,
        typer.Option(
            help="So many models are in memory together; requests may name any that is installed. Not beside --hosts.",
            min=1,
        ),
    ] = 1,
    prefix_memory: PrefixMemory = None,
    kv_memory: KvMemory = None,
    prefix_disk: ServedPrefixDisk = None,
    max_batch: MaxBatch = 8,
    policy: Policy = "fcfs",
    preemption: Preemption = "swap",
    max_waiting: MaxWaiting = 64,
    prefill_budget_ms: PrefillBudget = 250.0,
    report: Annotated[bool, typer.Option("--report", help="Tell at the end what became of the requests.")] = False,
    parent_pid: Annotated[int | None, typer.Option(help="End when this process does.")] = None,
    hosts: Hosts = None,
    hostfile: HostfileOption = None,
    backend: BackendOption = None,
    split: SplitOption = "auto",
    collective_timeout: CollectiveTimeout = LIMIT_S,
    python: Python = None,
) -> None:
    """Serve the OpenAI-compatible API on this machine, until Ctrl-C."""
    machines = group_hosts(hosts, hostfile, backend, python, collective_timeout)
    if machines is not None:
        check_beside_hosts(unload_after, models_loaded, prefix_disk)
    config = speculative_config(lookahead or "auto", "coupled", tree or "off", kv_bits, exactness)
    if machines is not None and tree is None:
        config = weighing_trees(config)
    settings = batch_settings(max_batch, policy, preemption, max_waiting, prefill_budget_ms)
    kept = keeping(prefix_memory, kv_memory, prefix_disk)
    access: dict[str, Any] = {"host": host, "port": port, "api_key": api_key}
    access |= {"allow_hosts": allow_host or (), "allow_origins": allow_origin or (), "parent_pid": parent_pid}
    is_rank = os.environ.pop(RANK_VARIABLE, None) is not None  # not for what this process starts
    if machines is not None and not is_rank:
        from mlx_spec.server.group.supervising import serve_group

        serve_group(
            machines,
            sys.argv[1:],
            target=target or pair,
            timeout_s=collective_timeout,
            changed=FormingLines().tell,
            **access,
        )
        return
    try:
        # Starlette and uvicorn, with MLX behind them, are imported here: `--help` answers at once.
        from mlx_spec.server.group.leadership import Leadership
        from mlx_spec.server.serve import serve as run

        run(
            target or pair,
            draft,
            leadership=Leadership(assigned(), split) if is_rank else None,
            config=config,
            drafter=drafter,
            anyway=anyway,
            unload_after_s=60 * unload_after or None,
            keeping=kept,
            settings=settings,
            models_loaded=models_loaded,
            report=report,
            **access,
        )
    except KeyboardInterrupt:  # before it served anybody; that it ends when asked to is no failure, then and later
        return
