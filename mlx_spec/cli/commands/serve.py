"""`mlx-spec serve`: its options; the server is `mlx_spec.server`."""

from typing import Annotated

import typer

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
    Target,
    TreeOption,
    batch_settings,
    keeping,
    speculative_config,
)


def serve(
    target: Target = None,
    draft: DraftOption = None,
    pair: Pair = "starter",
    drafter: DrafterOption = "auto",
    lookahead: LookaheadOption = None,
    tree: TreeOption = "off",
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
        float, typer.Option(help="Let go of the models after so many minutes without a request; 0 is never.", min=0)
    ] = 0,
    models_loaded: Annotated[
        int, typer.Option(help="So many models are in memory together; requests may name any that is installed.", min=1)
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
) -> None:
    """Serve the OpenAI-compatible API on this machine, until Ctrl-C."""
    config = speculative_config(lookahead or "auto", "coupled", tree, kv_bits, exactness)
    settings = batch_settings(max_batch, policy, preemption, max_waiting, prefill_budget_ms)
    kept = keeping(prefix_memory, kv_memory, prefix_disk)
    try:
        # Starlette and uvicorn, with MLX behind them, are imported here: `--help` answers at once.
        from mlx_spec.server.serve import serve as run

        run(
            target or pair,
            draft,
            host=host,
            port=port,
            api_key=api_key,
            allow_hosts=allow_host or (),
            allow_origins=allow_origin or (),
            config=config,
            drafter=drafter,
            anyway=anyway,
            unload_after_s=60 * unload_after or None,
            keeping=kept,
            settings=settings,
            models_loaded=models_loaded,
            report=report,
            parent_pid=parent_pid,
        )
    except KeyboardInterrupt:  # before it served anybody; that it ends when asked to is no failure, then and later
        return
